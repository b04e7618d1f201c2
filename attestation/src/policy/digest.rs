//! The policy by digest: what a token, a receipt or a page names it by.

use serde::{Serialize, Serializer};

use super::{
    AppraisalPolicy, GpuFloor, Level, ModuleFloor, Platform, PlatformFlag, Purpose, SnpFloor, TdxFloor,
};
use crate::policy::{PlatformId, PlatformKind};
use crate::{Backend, Hex};

impl AppraisalPolicy {
    /// SHA-256 of its canonical form (RFC 8785): every member, lists in their own order, 64-bit numbers as text (JSON
    /// readers keep 53 bits).
    pub fn digest(&self) -> Hex<32> {
        // Strings, small integers and lists of them, which always serialise.
        Hex::sha256(&serde_jcs::to_vec(&View::of(self)).unwrap_or_default())
    }
}

/// Form that is digested; a member that is added to the policy does not compile until it stands here.
#[derive(Serialize)]
struct View<'a> {
    v: u8,
    level: Level,
    charter: bool,
    backends: &'a [Backend],
    snp: &'a [SnpFloor],
    tdx: Option<TdxView<'a>>,
    gpu: &'a GpuFloor,
    platforms: Vec<PlatformView<'a>>,
    #[serde(serialize_with = "as_text")]
    mitigations: u64,
}

#[derive(Serialize)]
struct TdxView<'a> {
    tcb_evaluation: u32,
    modules: &'a [ModuleFloor],
    platform_flags: &'a [PlatformFlag],
    refused_advisories: &'a [String],
    #[serde(serialize_with = "as_text")]
    xfam: u64,
}

#[derive(Serialize)]
struct PlatformView<'a> {
    kind: PlatformKind,
    id: &'a PlatformId,
    custody: &'a str,
    #[serde(serialize_with = "as_text")]
    enrolled_at: u64,
    revoked_at: Option<String>,
}

impl<'a> View<'a> {
    fn of(policy: &'a AppraisalPolicy) -> Self {
        let AppraisalPolicy { level, purpose, backends, snp, tdx, gpu, platforms, mitigations } = policy;
        Self {
            v: 1,
            level: *level,
            charter: *purpose == Purpose::Charter,
            backends,
            snp,
            tdx: tdx.as_ref().map(TdxView::of),
            gpu,
            platforms: platforms.iter().map(PlatformView::of).collect(),
            mitigations: *mitigations,
        }
    }
}

impl<'a> TdxView<'a> {
    fn of(floor: &'a TdxFloor) -> Self {
        let TdxFloor { tcb_evaluation, modules, platform_flags, refused_advisories, xfam } = floor;
        Self { tcb_evaluation: *tcb_evaluation, modules, platform_flags, refused_advisories, xfam: *xfam }
    }
}

impl<'a> PlatformView<'a> {
    fn of(platform: &'a Platform) -> Self {
        let Platform { kind, id, custody, enrolled_at, revoked_at } = platform;
        let revoked_at = revoked_at.map(|at| at.to_string());
        Self { kind: *kind, id, custody, enrolled_at: *enrolled_at, revoked_at }
    }
}

fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::TeeFloor;

    fn charter() -> AppraisalPolicy {
        let tdx = TdxFloor {
            tcb_evaluation: 18,
            modules: vec![ModuleFloor { major: 1, svn: 5, mrseam: vec![] }],
            platform_flags: vec![PlatformFlag::SmtEnabled],
            refused_advisories: vec![],
            xfam: u64::MAX,
        };
        let tee = TeeFloor { snp: vec![], tdx: Some(tdx) };
        let platform = Platform {
            kind: PlatformKind::Ppid,
            id: Hex([7; 16]).into(),
            custody: "rack 1".to_owned(),
            enrolled_at: 1 << 60,
            revoked_at: None,
        };
        AppraisalPolicy::from_floors(Level::Strict, &[Backend::Tdx], &tee, &GpuFloor::none(), &[platform])
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_form_is_pinned() {
        let form = serde_jcs::to_string(&View::of(&charter())).unwrap_or_default();
        assert_eq!(
            form,
            concat!(
                r#"{"backends":["tdx"],"charter":true,"gpu":{"count":0},"level":"strict","mitigations":"0","#,
                r#""platforms":[{"custody":"rack 1","enrolled_at":"1152921504606846976","#,
                r#""id":"07070707070707070707070707070707","kind":"ppid","revoked_at":null}],"snp":[],"#,
                r#""tdx":{"modules":[{"major":1,"mrseam":[],"svn":5}],"platform_flags":["smt_enabled"],"#,
                r#""refused_advisories":[],"tcb_evaluation":18,"xfam":"18446744073709551615"},"v":1}"#
            )
        );
        assert_eq!(charter().digest(), Hex::sha256(form.as_bytes()));
    }

    #[test]
    fn policies_that_differ_in_one_bit_have_other_digests() {
        type Edit = fn(&mut AppraisalPolicy);
        let edits: [Edit; 9] = [
            |policy| policy.level = Level::Standard,
            |policy| policy.purpose = Purpose::Examination,
            |policy| policy.backends.clear(),
            |policy| policy.mitigations = 1 << 63,
            |policy| policy.mitigations = 1 << 63 | 1,
            |policy| policy.gpu.count = 1,
            |policy| policy.tdx = None,
            |policy| policy.tdx.iter_mut().for_each(|tdx| tdx.xfam -= 1),
            |policy| policy.platforms.iter_mut().for_each(|row| row.revoked_at = Some(1 << 60)),
        ];
        let mut digests = std::collections::BTreeSet::from([charter().digest()]);
        for edit in edits {
            let mut policy = charter();
            edit(&mut policy);
            digests.insert(policy.digest());
        }
        assert_eq!(digests.len(), edits.len() + 1);
    }
}
