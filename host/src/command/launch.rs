//! `tiltyard launch --dry-run`: the plan of a launch, without the launch.

use std::path::PathBuf;

use ring::rand::{SecureRandom, SystemRandom};
use tiltyard_attestation::{Backend as Kind, Hex, Role};

use crate::agent::{AgentError, Output, read_charter};
use crate::launch::{HostFacts, Image, LaunchSpec, disk, plan};
use crate::store::digest_of;

/// What to plan.
#[derive(Debug)]
pub(super) struct DryRun {
    pub(super) charter: PathBuf,
    pub(super) enclave: PathBuf,
    pub(super) role: Role,
    pub(super) order: Option<Hex<32>>,
    pub(super) lease: Option<Hex<16>>,
    pub(super) disks: Vec<PathBuf>,
    pub(super) guests: PathBuf,
    pub(super) program: PathBuf,
}

/// Prints argv, the configuration document and the expected measurement.
pub(super) fn dry_run(dry: &DryRun, output: Output) -> Result<(), AgentError> {
    let (_, charter) = read_charter(&dry.charter)?;
    let image = Image::load(&dry.enclave)?;
    let mut disks = Vec::new();
    for path in &dry.disks {
        let file =
            std::fs::metadata(path).map_err(|source| AgentError::File { path: path.clone(), source })?;
        disks.push(disk(digest_of(path)?, file.len()));
    }
    let lease = match dry.lease {
        Some(lease) => lease,
        None => {
            let mut lease = [0; 16];
            SystemRandom::new().fill(&mut lease).map_err(|_| AgentError::Random)?;
            Hex(lease)
        }
    };
    let budget = &charter.tournament.budget;
    let spec = LaunchSpec {
        role: dry.role,
        backend: Kind::Process,
        charter: charter.p(),
        level: charter.level,
        allowed: charter.backends.clone(),
        order: dry.order,
        lease,
        vcpus: budget.vcpus,
        memory_mib: budget.memory_mib,
        disks,
    };
    let planned = plan(&spec, &HostFacts::probe(dry.program.clone(), dry.guests.clone()), &image)?;
    match output {
        // Strings and digests only, which always serialise.
        Output::Json => println!("{}", serde_json::to_string(&planned).unwrap_or_default()),
        Output::Text => {
            println!("argv");
            for arg in planned.argv() {
                println!("  {}", arg.to_string_lossy());
            }
            println!("config\n  {}", String::from_utf8_lossy(planned.config()));
            let expected = planned.expected();
            println!(
                "expected\n  image       {}\n  host data   {}\n  measurement {}",
                expected.image, expected.host_data, expected.measurement
            );
        }
    }
    Ok(())
}
