//! Which TCB level a platform, its TDX module and its quoting enclave reach, and what that comes to (PCS API v4,
//! "Get TDX TCB Info"; statuses merge as in Intel's quote verification library, or more strictly).

use super::body::Body;
use super::documents::{COMPONENTS, EnclaveTcb, Level, QeIdentity, TcbInfo};
use super::pck::Pck;
use crate::policy::TcbStatus;

/// What the collateral says of one quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assessment {
    pub(super) status: TcbStatus,
    /// Of platform, module and quoting enclave, each once.
    pub(super) advisories: Vec<String>,
}

/// Why the collateral says nothing of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TcbGap {
    #[error("no TCB level that the platform reaches {when}")]
    Platform { when: When },
    #[error("no identity of a TDX module of major version {major}")]
    Module { major: u8 },
    #[error("no level of TDX module {major}.x that version {svn} reaches {when}")]
    ModuleLevel { major: u8, svn: u8, when: When },
    #[error("no level that a quoting enclave of version {svn} reaches")]
    Qe { svn: u16 },
}

/// Which of a TDX 1.5 quote's two sets of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Launch,
    Now,
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Launch => "at the launch",
            Self::Now => "now",
        })
    }
}

/// Levels of platform, module and quoting enclave, merged. A TDX 1.5 quote must reach levels both with the
/// versions of its launch and with those of now.
pub(super) fn assess(
    info: &TcbInfo,
    identity: &QeIdentity,
    pck: &Pck,
    body: &Body<'_>,
    qe_svn: u16,
) -> Result<Assessment, TcbGap> {
    let qe = reached(&identity.levels, qe_svn).ok_or(TcbGap::Qe { svn: qe_svn })?;
    let enclave = Merged::default().with(qe);
    let launch = platform(info, pck, body.tee_tcb_svn(), When::Launch)?.and(&enclave);
    let Some(svn) = body.tee_tcb_svn_2() else { return Ok(launch.assessment()) };
    let now = platform(info, pck, svn, When::Now)?.and(&enclave);
    Ok(launch.then(&now))
}

/// The first level that platform and module reach with these security versions of the TDX module.
fn platform(info: &TcbInfo, pck: &Pck, svn: [u8; COMPONENTS], when: When) -> Result<Merged, TcbGap> {
    let [module_svn, major, ..] = svn;
    // From major version 1 on, the module's own levels judge the first two components.
    let skip = if major == 0 { 0 } else { 2 };
    let level = info
        .levels
        .iter()
        .find(|level| {
            let mut sgx = pck.components.iter().zip(&level.tcb.sgx);
            let mut tdx = svn.iter().zip(&level.tcb.tdx).skip(skip);
            sgx.all(|(got, least)| *got >= least.svn)
                && pck.pce_svn >= level.tcb.pce_svn
                && tdx.all(|(got, least)| *got >= least.svn)
        })
        .ok_or(TcbGap::Platform { when })?;
    let merged = Merged::default().with(level);
    if major == 0 {
        return Ok(merged);
    }
    let module = info.module(major).ok_or(TcbGap::Module { major })?;
    let gap = TcbGap::ModuleLevel { major, svn: module_svn, when };
    Ok(merged.with(reached(&module.levels, module_svn.into()).ok_or(gap)?))
}

fn reached(levels: &[Level<EnclaveTcb>], svn: u16) -> Option<&Level<EnclaveTcb>> {
    levels.iter().find(|level| svn >= level.tcb.isvsvn)
}

/// What several levels come to: the faults of all of them.
#[derive(Debug, Clone, Default)]
struct Merged {
    faults: Faults,
    advisories: Vec<String>,
}

/// What is wrong with a TCB, as a status tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Faults {
    revoked: bool,
    out_of_date: bool,
    configuration: bool,
    software_hardening: bool,
}

impl Merged {
    fn with<T>(mut self, level: &Level<T>) -> Self {
        self.faults = self.faults.and(Faults::of(level.status));
        for advisory in &level.advisories {
            if !self.advisories.contains(advisory) {
                self.advisories.push(advisory.clone());
            }
        }
        self
    }

    fn and(mut self, other: &Self) -> Self {
        self.faults = self.faults.and(other.faults);
        self.advisories.extend(other.advisories.iter().cloned());
        self.advisories.sort_unstable();
        self.advisories.dedup();
        self
    }

    fn assessment(self) -> Assessment {
        Assessment { status: self.faults.status(), advisories: self.advisories }
    }

    /// Launched like this, running like `now`. Only a TCB that was updated under the TD gets the milder status;
    /// whatever is wrong with the present one counts in full.
    fn then(self, now: &Self) -> Assessment {
        let revoked = self.faults.revoked || now.faults.revoked;
        let updated = self.faults.out_of_date && !now.faults.out_of_date && !revoked;
        let both = self.clone().and(now);
        let status = match (updated, both.faults.configuration) {
            (true, false) => TcbStatus::TDRelaunchAdvised,
            (true, true) => TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
            (false, _) => both.faults.status(),
        };
        Assessment { status, advisories: both.advisories }
    }
}

impl Faults {
    fn of(status: TcbStatus) -> Self {
        use TcbStatus::*;
        Self {
            revoked: status == Revoked,
            out_of_date: matches!(status, OutOfDate | OutOfDateConfigurationNeeded),
            configuration: matches!(
                status,
                ConfigurationNeeded | ConfigurationAndSWHardeningNeeded | OutOfDateConfigurationNeeded
            ),
            software_hardening: matches!(status, SWHardeningNeeded | ConfigurationAndSWHardeningNeeded),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            revoked: self.revoked || other.revoked,
            out_of_date: self.out_of_date || other.out_of_date,
            configuration: self.configuration || other.configuration,
            software_hardening: self.software_hardening || other.software_hardening,
        }
    }

    fn status(self) -> TcbStatus {
        match self {
            Self { revoked: true, .. } => TcbStatus::Revoked,
            Self { out_of_date: true, configuration: true, .. } => TcbStatus::OutOfDateConfigurationNeeded,
            Self { out_of_date: true, .. } => TcbStatus::OutOfDate,
            Self { configuration: true, software_hardening: true, .. } => {
                TcbStatus::ConfigurationAndSWHardeningNeeded
            }
            Self { configuration: true, .. } => TcbStatus::ConfigurationNeeded,
            Self { software_hardening: true, .. } => TcbStatus::SWHardeningNeeded,
            Self { .. } => TcbStatus::UpToDate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TcbStatus::*;

    fn merged(statuses: &[TcbStatus]) -> Merged {
        let faults = statuses.iter().fold(Faults::default(), |all, status| all.and(Faults::of(*status)));
        Merged { faults, advisories: Vec::new() }
    }

    #[test]
    fn the_worst_of_each_kind_remains() {
        for (statuses, expected) in [
            (&[UpToDate, UpToDate][..], UpToDate),
            (&[UpToDate, OutOfDate], OutOfDate),
            (&[SWHardeningNeeded, OutOfDate], OutOfDate),
            (&[ConfigurationNeeded, OutOfDate], OutOfDateConfigurationNeeded),
            (&[ConfigurationAndSWHardeningNeeded, OutOfDate], OutOfDateConfigurationNeeded),
            (&[ConfigurationNeeded, SWHardeningNeeded], ConfigurationAndSWHardeningNeeded),
            (&[UpToDate, ConfigurationNeeded], ConfigurationNeeded),
            (&[OutOfDateConfigurationNeeded, Revoked], Revoked),
        ] {
            assert_eq!(merged(statuses).assessment().status, expected, "{statuses:?}");
            let mut reversed = statuses.to_vec();
            reversed.reverse();
            assert_eq!(merged(&reversed).assessment().status, expected, "{reversed:?}");
        }
    }

    #[test]
    fn an_update_under_the_td_advises_a_relaunch_and_hides_nothing() {
        for (launch, now, expected) in [
            (UpToDate, UpToDate, UpToDate),
            (OutOfDate, UpToDate, TDRelaunchAdvised),
            (OutOfDate, SWHardeningNeeded, TDRelaunchAdvised),
            (OutOfDate, ConfigurationNeeded, TDRelaunchAdvisedConfigurationNeeded),
            (OutOfDateConfigurationNeeded, UpToDate, TDRelaunchAdvisedConfigurationNeeded),
            (OutOfDate, OutOfDate, OutOfDate),
            (UpToDate, OutOfDate, OutOfDate),
            (UpToDate, Revoked, Revoked),
            (Revoked, UpToDate, Revoked),
            (OutOfDate, Revoked, Revoked),
        ] {
            let assessment = merged(&[launch]).then(&merged(&[now]));
            assert_eq!(assessment.status, expected, "{launch:?} then {now:?}");
        }
    }

    #[test]
    fn advisories_are_listed_once() {
        let level = |advisories: &[&str]| Level {
            tcb: (),
            status: UpToDate,
            advisories: advisories.iter().map(|&name| name.to_owned()).collect(),
        };
        let a = Merged::default().with(&level(&["B", "A"])).with(&level(&["A"]));
        let both = a.and(&Merged::default().with(&level(&["C", "B"])));
        assert_eq!(both.assessment().advisories, ["A", "B", "C"]);
    }
}
