//! The sandbox of a `Process` guest, built by this program itself, re-executed in two stages.
//!
//! Stage one leaves the host's namespaces and lays out the guest's file tree; stage two is process 1 of
//! the new process-id namespace, enters the tree and becomes the guest. Both run before any thread
//! exists, because a user namespace can be entered by a single-threaded process only. What goes wrong is
//! one line of JSON on standard error and exit code [`SETUP_FAILED`].

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, getegid, geteuid, getppid, pivot_root, sethostname};
use serde::{Deserialize, Serialize};

/// First argument of stage one.
pub const STAGE_ONE: &str = "guest-init";
/// First argument of stage two.
pub const STAGE_TWO: &str = "guest-enter";
/// Exit code of a stage that could not build the sandbox.
pub const SETUP_FAILED: u8 = 125;

const ROOT_MIB: u32 = 4;
const TMP_MIB: u32 = 64;
const OPEN_FILES_MAX: u64 = 1024;
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];

/// Everything the two stages need, as one argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jail {
    /// Process id of the agent; the guest ends with it.
    pub parent: u32,
    /// Empty directory that the guest's file tree is mounted on.
    pub root: PathBuf,
    pub enclave: PathBuf,
    pub libraries: Vec<PathBuf>,
    /// Shown read-only at `/inputs`.
    pub inputs: PathBuf,
    /// Shown at `/tsm`.
    pub tsm: PathBuf,
    pub memory_mib: u32,
}

/// Which layer the host refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    pub layer: String,
    pub errno: i32,
}

/// Runs a stage if these arguments ask for one; `None` for every other command line.
pub fn run_stage(mut args: impl Iterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    let stage = args.next()?;
    let stage: fn(&Jail) -> Result<ExitCode, Refused> = match stage.to_str()? {
        STAGE_ONE => leave_host,
        STAGE_TWO => enter,
        _ => return None,
    };
    let jail = args.next().and_then(|json| serde_json::from_str(json.to_str()?).ok());
    let done = jail.ok_or_else(|| refused("arguments", Errno::EINVAL)).and_then(|jail| stage(&jail));
    Some(done.unwrap_or_else(|refused| {
        let line = serde_json::to_string(&refused).unwrap_or_default();
        // Nobody may be reading; the exit code still tells.
        let _ = writeln!(io::stderr(), "{line}");
        ExitCode::from(SETUP_FAILED)
    }))
}

/// Stage one: new namespaces, the file tree, then stage two as a child whose exit is mirrored.
fn leave_host(jail: &Jail) -> Result<ExitCode, Refused> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at("parent_death_signal"))?;
    // The agent may have died before the line above.
    if getppid().as_raw() as u32 != jail.parent {
        return Err(refused("parent", Errno::ESRCH));
    }
    close_inherited().map_err(io_at("descriptors"))?;
    let (uid, gid) = (geteuid(), getegid());
    unshare(
        CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )
    .map_err(at("namespaces"))?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).map_err(io_at("uid_map"))?;
    fs::write("/proc/self/setgroups", "deny").map_err(io_at("setgroups"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).map_err(io_at("gid_map"))?;
    sethostname("tiltyard").map_err(at("hostname"))?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(at("private_mounts"))?;
    lay_out(jail)?;

    let json = serde_json::to_string(jail).map_err(|_| refused("arguments", Errno::EINVAL))?;
    let status = Command::new("/proc/self/exe")
        .args([STAGE_TWO, &json])
        .env_clear()
        .status()
        .map_err(io_at("stage_two"))?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
}

/// The guest's whole world: the program, its libraries, inputs, reports, three devices, `/tmp`.
fn lay_out(jail: &Jail) -> Result<(), Refused> {
    let root = &jail.root;
    let options = format!("size={ROOT_MIB}m,mode=0755");
    mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
        .map_err(at("root"))?;
    bind_read_only(&jail.enclave, &root.join("enclave"), "enclave")?;
    for library in &jail.libraries {
        bind_read_only(library, &inside(root, library), "libraries")?;
    }
    bind_read_only(&jail.inputs, &root.join("inputs"), "inputs")?;
    bind(&jail.tsm, &root.join("tsm"), "tsm")?;
    for device in DEVICES.map(Path::new) {
        bind(device, &inside(root, device), "devices")?;
    }
    for dir in ["proc", "tmp"] {
        fs::create_dir(root.join(dir)).map_err(io_at("root"))?;
    }
    let options = format!("size={TMP_MIB}m,mode=1777");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), &root.join("tmp"), Some("tmpfs"), flags, Some(options.as_str())).map_err(at("tmp"))
}

/// Stage two, process 1 of its namespace: enters the tree, drops what it can, becomes the guest.
fn enter(jail: &Jail) -> Result<ExitCode, Refused> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at("parent_death_signal"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match mount(Some("proc"), &jail.root.join("proc"), Some("proc"), flags, NONE) {
        // A host that masks parts of its own /proc lets nobody mount another: the guest does without.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(refused("proc", errno)),
    }
    chdir(&jail.root).map_err(at("enter_root"))?;
    // Stacks the old root on the new one, so that the next line can take it away.
    pivot_root(".", ".").map_err(at("enter_root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(at("leave_old_root"))?;
    chdir("/").map_err(at("enter_root"))?;
    let flags =
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(NONE, "/", NONE, flags, NONE).map_err(at("read_only_root"))?;

    let memory = u64::from(jail.memory_mib) * 1024 * 1024;
    for (resource, limit) in
        [(Resource::RLIMIT_CORE, 0), (Resource::RLIMIT_NOFILE, OPEN_FILES_MAX), (Resource::RLIMIT_AS, memory)]
    {
        setrlimit(resource, limit, limit).map_err(at("limits"))?;
    }
    prctl::set_no_new_privs().map_err(at("no_new_privileges"))?;
    let console = io::stdout().as_fd().try_clone_to_owned().map_err(io_at("console"))?;
    let error = Command::new("/enclave").env_clear().stderr(Stdio::from(console)).exec();
    // Standard error is the guest's by now; the layer's name goes out as the exit code alone.
    Err(refused("exec", Errno::from_raw(error.raw_os_error().unwrap_or(0))))
}

const NONE: Option<&str> = None;

/// Shows a host file or directory at `target`, which is made; the mount keeps the source's own flags.
fn bind(source: &Path, target: &Path, layer: &'static str) -> Result<(), Refused> {
    let made = if fs::metadata(source).map_err(io_at(layer))?.is_dir() {
        fs::create_dir_all(target)
    } else {
        target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::File::create(target).map(drop))
    };
    made.map_err(io_at(layer))?;
    mount(Some(source), target, NONE, MsFlags::MS_BIND, NONE).map_err(at(layer))
}

fn bind_read_only(source: &Path, target: &Path, layer: &'static str) -> Result<(), Refused> {
    bind(source, target, layer)?;
    // Flags that the source's mount carries are locked in a user namespace: they must be repeated.
    let kept = statvfs(target).map_err(at(layer))?.flags();
    let mut flags =
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for (has, keep) in [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if kept.contains(has) {
            flags |= keep;
        }
    }
    mount(NONE, target, NONE, flags, NONE).map_err(at(layer))
}

/// `path`, an absolute one, below `root`.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Closes what the agent's own parent may have left open; Rust's own descriptors close on exec.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // The directory's own descriptor is in the list and is closed already.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

fn refused(layer: &'static str, errno: Errno) -> Refused {
    Refused { layer: layer.to_owned(), errno: errno as i32 }
}

fn at(layer: &'static str) -> impl FnOnce(Errno) -> Refused {
    move |errno| refused(layer, errno)
}

fn io_at(layer: &'static str) -> impl FnOnce(io::Error) -> Refused {
    move |error| refused(layer, Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}
