//! The memory of a process, as a core file would hold it: whatever it could write to (proc(5)).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Largest piece read at once.
const PIECE_BYTES: u64 = 4 << 20;

/// A stretch of memory.
pub struct Mapping {
    /// Its line in `maps`.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Everything in the memory of the process `pid` that it could write to.
pub fn image(pid: u32) -> Vec<Mapping> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let writable = maps.lines().filter(|line| {
        let mut words = line.split_whitespace();
        words.nth(1).is_some_and(|rights| rights.starts_with("rw"))
    });
    writable.map(|line| read(&memory, line)).collect()
}

fn read(memory: &File, line: &str) -> Mapping {
    let (range, _) = line.split_once(' ').unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let at = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let (mut from, to) = (at(from), at(to));
    let mut bytes = Vec::new();
    while from < to {
        let piece = PIECE_BYTES.min(to - from);
        let mut read = vec![0; usize::try_from(piece).unwrap()];
        // A mapping may go between the two readings.
        if memory.read_exact_at(&mut read, from).is_err() {
            break;
        }
        bytes.append(&mut read);
        from += piece;
    }
    Mapping {
        name: line.to_owned(),
        bytes,
    }
}

#[test]
fn a_text_is_found_in_the_memory_of_its_process() {
    // Made here, so that the program does not hold it as a constant.
    let planted = format!("planted-{}", std::process::id() * 7);
    let image = image(std::process::id());
    let holds = |mapping: &Mapping| {
        let mut parts = mapping.bytes.windows(planted.len());
        parts.any(|part| part == planted.as_bytes())
    };
    assert!(image.iter().any(holds));
}
