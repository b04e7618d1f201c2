//! Processes of this machine: who descends from whom, who still lives, what one has in memory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use crate::canaries::Needles;

/// Read at a time, in bytes.
const WINDOW_BYTES: usize = 4 << 20;

/// A process that can be told from a later one of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Living {
    pub pid: u32,
    parent: u32,
    start_ticks: u64,
}

impl Living {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything; what follows it does not.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ended = matches!(fields.first(), Some(&"Z" | &"X"));
        (!ended).then_some(())?;
        Some(Self { pid, parent: fields.get(1)?.parse().ok()?, start_ticks: fields.get(19)?.parse().ok()? })
    }

    pub fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.start_ticks == self.start_ticks)
    }
}

/// Every process below `root`, which is not among them.
pub fn descendants(root: u32) -> Vec<Living> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let all: Vec<Living> = pids.filter_map(Living::read).collect();
    let mut found: Vec<Living> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            found.push(*child);
            parents.push(child.pid);
        }
    }
    found
}

/// Searches all that a process has in memory and can read itself.
pub fn search_memory(pid: u32, needles: &Needles) -> io::Result<Searched> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut searched = Searched::default();
    let mut window = vec![0; WINDOW_BYTES];
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let ends = range.split_once('-').and_then(|(from, to)| {
            Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
        });
        let (Some((mut at, end)), true) = (ends, rights.starts_with('r')) else { continue };
        while at < end {
            let want = WINDOW_BYTES.min(usize::try_from(end - at).unwrap_or(WINDOW_BYTES));
            // Pages that the kernel keeps for itself can't be read, and neither can one that was just unmapped.
            let Ok(got @ 1..) = memory.read_at(&mut window[..want], at) else { break };
            searched.bytes += got as u64;
            searched.found.extend(needles.find(&window[..got]));
            // The next window begins before this one ends, so that nothing hides across the border.
            at += if got > needles.longest() { got - needles.longest() + 1 } else { got } as u64;
            if at + (needles.longest() as u64) > end {
                break;
            }
        }
    }
    Ok(searched)
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Searched {
    pub bytes: u64,
    pub found: Vec<String>,
}
