//! Every decoder of bytes from elsewhere, fed with damaged messages.
//!
//! A run is repeatable: the seed decides everything and a defect is printed with its input. Runs a
//! few seconds as a test, longer by `cargo xtask fuzz`, which sets
//! `ROLLCALL_FUZZ_SECONDS` (for each target), `ROLLCALL_FUZZ_SEED` and `ROLLCALL_FUZZ_TARGET`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and a run of given length reads the clock"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rollcall_directory::fuzz::{TARGETS, Target};

/// Inputs for each target in a run of no given length.
const INPUTS: u64 = 4_000;
/// Inputs between two looks at the clock.
const INPUTS_PER_LOOK: u64 = 256;
/// Changes to one input.
const CHANGES_MAX: u64 = 6;
/// Numbers that have brought decoders down before.
const NUMBERS: [u32; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// What the damage starts from.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let replication = include_str!("../golden/replication.hex");
    let dirsync = include_str!("../golden/dirsync.hex");
    let kinds: &[&str] = match target {
        "rpc_pdu" => &["fragment"],
        "rpc_mapper" => &["mapper"],
        "drs_bind" => &["bound"],
        "drs_reply" => &["changes", "nothing", "renamed", "deleted", "sweep"],
        _ => &[],
    };
    let pairs = replication.lines().filter_map(|line| line.split_once(' '));
    let recorded = pairs.filter(|(kind, _)| kinds.contains(kind));
    let mut seeds: Vec<Vec<u8>> = recorded.map(|(_, data)| hex(data)).collect();
    if matches!(target, "ldap_message" | "dirsync_control") {
        let lines = dirsync.lines().filter(|line| !line.starts_with('#'));
        seeds.extend(lines.map(hex));
    }
    let texts: &[&str] = match target {
        "dn" => &[r"CN=A\,b\20+OU=\C3\A4,DC=corp", "<GUID=00>;CN=x"],
        "filter" => &[r"(&(|(a=b*c*)(!(d>=\2a)))(e:1.2.3:=4)(f=*))"],
        "guid" => &["03020100-0504-0706-0809-0a0b0c0d0e0f"],
        "sid" => &["S-1-5-21-1-2-3-513"],
        "krb5_conf" => &["[libdefaults]\ndefault_realm = A\n[realms]\nA = {\nkdc = b:88\n}\n"],
        "keytab" => &[
            "\u{5}\u{2}\0\0\0>\0\u{1}\0\u{4}CORP\0\u{3}svc\0\0\0\u{1}\0\0\0\0\u{2}\0\u{12}\0 \
             0123456789abcdef0123456789abcdef\0\0\0\u{2}",
        ],
        _ => &[],
    };
    seeds.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    match target {
        "krb_error" => seeds.push(
            b"\0\0\0\x1c\x7e\x1a\x30\x18\xa4\x11\x18\x0f20261129204400Z\xa6\x03\x02\x01\x12"
                .to_vec(),
        ),
        "wrap_token" => {
            for extra in [0, 16] {
                let header = [5, 4, 7, 0xff, 0, extra, 0, 28];
                seeds.push([&header[..], &[0; 8 + 96]].concat());
            }
        }
        _ => {}
    }
    // A cursor, and something to begin with for everything.
    seeds.push([vec![1], vec![7; 40 + 24]].concat());
    seeds
}

fn hex(data: &str) -> Vec<u8> {
    let digits: Vec<u8> = data
        .chars()
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn damage(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.next() % CHANGES_MAX {
        let place = random.below(input.len());
        let kind = random.below(8);
        if input.is_empty() || kind == 0 {
            input.insert(place, random.next() as u8);
            continue;
        }
        match kind {
            1 => input[place] = random.next() as u8,
            2 => input[place] ^= 1 << random.below(8),
            3 => drop(input.remove(place)),
            4 => input.truncate(place),
            5 => {
                let end = place + random.below(input.len() - place);
                let part = input[place..end.min(place + 64)].to_vec();
                input.splice(place..place, part);
            }
            // Most lengths and counts stand at multiples of four.
            _ => {
                let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
                let place = place / 4 * 4;
                for (byte, new) in input[place..].iter_mut().zip(number) {
                    *byte = new;
                }
            }
        }
    }
}

/// Returns the number of inputs.
fn run(name: &str, target: Target, seed: u64, time: Option<Duration>) -> u64 {
    let seeds = seeds(name);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let start = Instant::now();
    for count in 0.. {
        let is_over = match time {
            Some(time) => count % INPUTS_PER_LOOK == 0 && start.elapsed() >= time,
            None => count == INPUTS,
        };
        if is_over {
            return count;
        }
        let mut input = seeds[random.below(seeds.len())].clone();
        damage(&mut input, &mut random);
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            let input: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("target {name}, seed {seed}, input number {count}: {input}");
        }
    }
    0
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

#[test]
fn damaged_input_never_panics() {
    let seed = number("ROLLCALL_FUZZ_SEED").unwrap_or(1);
    let time = number("ROLLCALL_FUZZ_SECONDS").map(Duration::from_secs);
    let wanted = std::env::var("ROLLCALL_FUZZ_TARGET").ok();
    let mut targets = 0;
    for (name, target) in TARGETS {
        if wanted.as_ref().is_none_or(|wanted| wanted == name) {
            let count = run(name, *target, seed, time);
            println!("{name}: {count} inputs, seed {seed}");
            targets += 1;
        }
    }
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert!(targets > 0, "no target {wanted:?}, there are {names:?}");
}

#[test]
fn a_defect_would_be_noticed() {
    let defective: Target = |bytes| assert!(bytes.first() != Some(&0xff));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let noticed = catch_unwind(|| run("guid", defective, 1, None)).is_err();
    std::panic::set_hook(hook);
    assert!(noticed);
}
