//! The signed facts of the platform and its firmware, held against collateral and policy (TDX-09..TDX-12, TDX-19).

use super::authentic::{AuthenticQuote, NO_COLLATERAL};
use super::body::Body;
use super::documents::ModuleSigner;
use super::endorsed::Endorsed;
use super::tcb::{Assessment, TcbGap, assess};
use crate::Hex;
use crate::chain::Revocation;
use crate::checks::{CheckId, Code};
use crate::config::LaunchConfig;
use crate::policy::{AppraisalPolicy, Level, PlatformFlag, PlatformKind, TcbStatus};
use crate::reference::ReferenceValues;
use crate::result::TdxFacts;
use crate::trace::{Judged, Trace};

/// Everything that a quote is held against, but its envelope and its collateral.
pub struct Demands<'a> {
    pub policy: &'a AppraisalPolicy,
    /// None only when evidence is examined without reference values.
    pub reference: Option<&'a ReferenceValues>,
    /// Launch configuration whose image and backend choose the reference values; none in an examination.
    pub config: Option<&'a LaunchConfig>,
    /// The area of the guest's CCEL log, whole; an empty one is none.
    pub event_log: Option<&'a [u8]>,
    /// Highest evaluation number of Intel's collateral that the caller ever accepted; 0 when it remembers none.
    pub accepted_evaluation: u32,
    /// Unix seconds.
    pub now: u64,
}

impl Demands<'_> {
    /// Runs every check on an authentic quote; `trace` holds each verdict.
    pub fn judge(&self, authentic: &AuthenticQuote<'_>, trace: &mut Trace) -> TdxFacts {
        let AuthenticQuote { quote, pck, endorsed, revocation } = authentic;
        let (body, endorsed) = (quote.body(), endorsed.as_ref());
        trace.collateral_age(oldest(*revocation, endorsed), self.policy, self.now);
        let assessed = endorsed.and_then(|endorsed| assessment(authentic, endorsed));
        trace.note(CheckId::Tdx09, self.tcb_status(endorsed, assessed.as_ref()));
        trace.note(CheckId::Tdx10, self.evaluation(endorsed));
        trace.note(CheckId::Tdx11, self.platform_flags(&pck.flags));
        trace.note(CheckId::Tdx12, self.module(body, endorsed));
        let ppid = pck.ppid.into();
        let enrolled = self.policy.enrolled(PlatformKind::Ppid, Some(&ppid), Code::UnknownPlatform, self.now);
        trace.note(CheckId::Tdx19, enrolled);
        let guest = self.judge_guest(body, trace);
        let assessed = assessed.and_then(Result::ok);
        TdxFacts {
            quote_version: quote.version(),
            tee_tcb_svn: Hex(body.tee_tcb_svn()),
            mrseam: body.mrseam(),
            td_attributes: body.td_attributes(),
            xfam: body.xfam(),
            mrtd: body.mrtd(),
            rtmr: body.rtmr(),
            mrconfigid: body.mrconfigid(),
            fmspc: pck.fmspc,
            ppid: pck.ppid,
            platform_flags: pck.flags.clone(),
            tcb_status: assessed.as_ref().map(|assessed| assessed.status),
            advisories: assessed.map(|assessed| assessed.advisories).unwrap_or_default(),
            tcb_evaluation: endorsed.and_then(Endorsed::evaluation),
            events: guest.events,
            revocation: *revocation,
            image_name: guest.image_name,
        }
    }

    fn tcb_status(
        &self,
        endorsed: Option<&Endorsed>,
        assessed: Option<&Result<Assessment, TcbGap>>,
    ) -> Judged {
        let level = self.policy.level();
        let expected = match level {
            Level::Strict => "UpToDate",
            Level::Standard => "UpToDate or SWHardeningNeeded",
            Level::Lab => "any status but Revoked",
        };
        if endorsed.is_none() {
            return self.policy.absent(Code::CollateralMissing, expected, NO_COLLATERAL);
        }
        let Assessment { status, advisories } = match assessed {
            None => return Judged::fail(Code::TcbStatus, expected, "no genuine collateral to tell it"),
            Some(Err(gap)) => return Judged::fail(Code::TcbStatus, expected, gap),
            Some(Ok(assessment)) => assessment,
        };
        if !level.accepts(*status) {
            return Judged::fail(Code::TcbStatus, expected, status_text(*status, advisories));
        }
        let refused = self.policy.tdx().map(|floor| floor.refused_advisories.as_slice()).unwrap_or_default();
        match advisories.iter().find(|advisory| refused.contains(advisory)) {
            Some(advisory) => Judged::fail(Code::AdvisoryRejected, "no refused advisory", advisory),
            None => Judged::pass(expected, status_text(*status, advisories)),
        }
    }

    fn evaluation(&self, endorsed: Option<&Endorsed>) -> Judged {
        let Some(floor) = self.policy.tdx() else {
            let expected = "a floor for the collateral's evaluation number";
            return self.policy.absent(Code::TcbEvalTooOld, expected, "no TDX floor is named");
        };
        let least = floor.tcb_evaluation.max(self.accepted_evaluation);
        let expected = format!("at least {least}");
        match (endorsed, endorsed.and_then(Endorsed::evaluation)) {
            (None, _) => self.policy.absent(Code::CollateralMissing, expected, NO_COLLATERAL),
            (Some(_), None) => {
                Judged::fail(Code::TcbEvalTooOld, expected, "no genuine collateral to tell it")
            }
            (Some(_), Some(got)) => Judged::require(got >= least, Code::TcbEvalTooOld, expected, got),
        }
    }

    /// `strict` wants each flag named; below that an unnamed one is printed.
    fn platform_flags(&self, flags: &[PlatformFlag]) -> Judged {
        const EXPECTED: &str = "no configuration flag but the named ones";
        let named = self.policy.tdx().map(|floor| floor.platform_flags.as_slice()).unwrap_or_default();
        let unnamed: Vec<&PlatformFlag> = flags.iter().filter(|flag| !named.contains(flag)).collect();
        match (unnamed.as_slice(), self.policy.level()) {
            ([], _) if flags.is_empty() => Judged::pass(EXPECTED, "none set"),
            ([], _) => Judged::pass(EXPECTED, flag_names(flags)),
            (_, Level::Strict) => Judged::fail(Code::PlatformFlag, EXPECTED, flag_names(unnamed)),
            (_, Level::Standard | Level::Lab) => Judged::warning(EXPECTED, flag_names(unnamed)),
        }
    }

    /// Intel signs its module with MRSIGNERSEAM zero, whatever the collateral may say.
    fn module(&self, body: &Body<'_>, endorsed: Option<&Endorsed>) -> Judged {
        const EXPECTED: &str = "a module of Intel's at or above the floor";
        let fail = |what: String| Judged::fail(Code::TdxModule, EXPECTED, what);
        if body.mrsignerseam() != Hex([0; 48]) || body.seam_attributes() != Hex([0; 8]) {
            return fail(format!(
                "MRSIGNERSEAM {}, attributes {}",
                body.mrsignerseam(),
                body.seam_attributes()
            ));
        }
        let [_, major, ..] = body.tee_tcb_svn();
        if let Some(Ok(info)) = endorsed.map(|endorsed| &endorsed.info) {
            let signer = match major {
                0 => Some(&info.tdx_module),
                _ => info.module(major).map(|module| &module.signer),
            };
            if !signer.is_some_and(|signer| is_module_of(body, signer)) {
                return fail(format!("a module {major}.x that the TCB info does not describe"));
            }
        }
        let floors = self.policy.tdx().map(|floor| floor.modules.as_slice()).unwrap_or_default();
        let versions = [Some(body.tee_tcb_svn()), body.tee_tcb_svn_2()];
        for [svn, major, ..] in versions.into_iter().flatten() {
            let row = floors.iter().find(|row| row.major == major);
            if !floors.is_empty() && row.is_none_or(|row| svn < row.svn) {
                return fail(format!("module {major}.x, version {svn}"));
            }
            if row.is_some_and(|row| !row.mrseam.is_empty() && !row.mrseam.contains(&body.mrseam())) {
                return fail(format!("MRSEAM {}", body.mrseam()));
            }
        }
        let floor = if floors.is_empty() { "; no floor for modules is named" } else { "" };
        Judged::pass(EXPECTED, format_args!("MRSEAM {}{floor}", body.mrseam()))
    }
}

/// What the genuine collateral says of the quote; `None` when a document is not genuine.
fn assessment(authentic: &AuthenticQuote<'_>, endorsed: &Endorsed) -> Option<Result<Assessment, TcbGap>> {
    let (info, identity) = (endorsed.info.as_ref().ok()?, endorsed.identity.as_ref().ok()?);
    let quote = &authentic.quote;
    Some(assess(info, identity, &authentic.pck, quote.body(), quote.qe_report.svn()))
}

/// The age of the PCK's list and of both documents, whichever is oldest.
fn oldest(revocation: Revocation, endorsed: Option<&Endorsed>) -> Revocation {
    match (revocation, endorsed.and_then(Endorsed::as_of)) {
        (Revocation::Good { as_of }, Some(documents)) => Revocation::Good { as_of: as_of.min(documents) },
        _ => revocation,
    }
}

/// Signer and attributes of the module that made the report; attributes outside the mask must be zero.
fn is_module_of(body: &Body<'_>, signer: &ModuleSigner) -> bool {
    let (got, mask) = (body.seam_attributes(), signer.attributes_mask.0);
    let attributes = got.bytes().iter().zip(signer.attributes.0.bytes()).zip(mask.bytes());
    body.mrsignerseam() == signer.mrsigner.0
        && attributes.into_iter().all(|((got, expected), mask)| *got == expected & mask)
}

fn flag_names<'f>(flags: impl IntoIterator<Item = &'f PlatformFlag>) -> String {
    let names: Vec<String> = flags.into_iter().map(|flag| format!("{flag:?}")).collect();
    names.join(", ")
}

fn status_text(status: TcbStatus, advisories: &[String]) -> String {
    if advisories.is_empty() {
        format!("{status:?}")
    } else {
        format!("{status:?} ({})", advisories.join(" "))
    }
}
