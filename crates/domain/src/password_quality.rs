//! Whether a new password is good enough for its pool: length and classes, weak sequences, common
//! passwords, likeness to the one before.
//!
//! Invariant: a refusal names the rule, never a part of a password. Everything is compared without
//! letter case, and costs at most the square of the length of a password. Deliberately absent:
//! comparing with hashes of earlier passwords, which needs time and keys.

use zeroize::Zeroizing;

use crate::common_password;
use crate::refusal::Refusal;
use crate::userpool::Userpool;

/// Fewer edits than this from the old password to the new one are not enough.
const EDITS_MIN: usize = 4;
/// A password that is contained in another makes both alike if it has this many characters; else a
/// single letter would be in most passwords.
const CONTAINED_CHARACTERS_MIN: usize = 4;
/// Shortest word of a name that counts as a weak sequence.
const NAME_CHARACTERS_MIN: usize = 3;

/// What everybody types who walks along the keys or an alphabet; each counts in both directions.
const SEQUENCES: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiopü",
    "yxcvbnm,.-",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn,;:!",
    "`1234567890-=",
    "~!@#$%^&*()_+",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "йцукенгшщзхъ",
    "фывапролджэ",
    "ячсмитьбю",
];

/// Whose password it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Login.
    pub login: &'a str,
    /// Display name, first name, family name.
    pub names: [&'a str; 3],
}

/// Checks a new password that came in `field`; `old` is the present one, when it is at hand.
///
/// # Errors
/// `Invalid` naming `field` and the rule that the password breaks.
pub fn check(
    pool: &Userpool,
    owner: Owner<'_>,
    field: &str,
    password: &str,
    old: Option<&str>,
) -> Result<(), Refusal> {
    let quality = &pool.quality_policy;
    quality.check_password(field, password)?;
    let refuse = |why: &str| Err(Refusal::invalid(field, why));
    if pool.blacklist_policy.check_common && common_password::is_common(password) {
        return refuse("is one of the passwords that everybody tries first: choose another one");
    }
    let match_length = usize::try_from(quality.match_length).unwrap_or(usize::MAX);
    if match_length > 0 && is_weak_sequence(password, owner, match_length) {
        return refuse(
            "consists mostly of a sequence that is easy to guess: keys in a row, an alphabet, \
             numbers in order, the login or a name",
        );
    }
    if !quality.allow_similar && old.is_some_and(|old| is_similar(password, old)) {
        return refuse(
            "is too much like the present one: it must differ in at least four characters, and \
             neither may contain the other",
        );
    }
    Ok(())
}

type Characters = Zeroizing<Vec<char>>;

fn fold(text: &str) -> Characters {
    // Folding may make a text longer; reserving keeps it from being copied about.
    let mut folded = Zeroizing::new(Vec::with_capacity(2 * text.len()));
    folded.extend(text.chars().flat_map(char::to_lowercase));
    folded
}

/// Whether the longest run that the password shares with a weak sequence has at least
/// `match_length` characters and makes up half of the password (decision U64).
fn is_weak_sequence(password: &str, owner: Owner<'_>, match_length: usize) -> bool {
    let password = fold(password);
    let is_weak = |sequence: &[char]| {
        let run = longest_shared_run(&password, sequence);
        run >= match_length && 2 * run >= password.len()
    };
    let local = owner.login.split('@').next().unwrap_or_default();
    let words = owner
        .names
        .iter()
        .flat_map(|name| name.split(|c: char| !c.is_alphanumeric()))
        .chain(local.split(|c: char| !c.is_alphanumeric()))
        .chain([local, owner.login])
        .filter(|word| word.chars().count() >= NAME_CHARACTERS_MIN);
    SEQUENCES.iter().copied().chain(words).any(|sequence| {
        let mut sequence = fold(sequence);
        let forwards = is_weak(&sequence);
        sequence.reverse();
        forwards || is_weak(&sequence)
    })
}

/// The length of the longest run of characters that is in both.
fn longest_shared_run(a: &[char], b: &[char]) -> usize {
    let mut longest = 0;
    // Lengths of the runs that end at the character of `a` before and at each one of `b`.
    let mut before = vec![0usize; b.len() + 1];
    for x in a {
        let mut row = Vec::with_capacity(before.len());
        row.push(0);
        for (y, run) in b.iter().zip(&before) {
            let run = if x == y { run + 1 } else { 0 };
            longest = longest.max(run);
            row.push(run);
        }
        before = row;
    }
    longest
}

/// Whether two passwords are alike: equal but for letter case, one in the other, or a few edits
/// apart (decision U64).
fn is_similar(new: &str, old: &str) -> bool {
    let (new, old) = (fold(new), fold(old));
    let (short, long) = if new.len() <= old.len() {
        (&new, &old)
    } else {
        (&old, &new)
    };
    let contains = short.len() >= CONTAINED_CHARACTERS_MIN
        && long
            .windows(short.len())
            .any(|part| part == short.as_slice());
    contains || edits(&new, &old) < EDITS_MIN
}

/// How many characters must be inserted, removed or replaced to make one text of the other.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = (0..=b.len()).collect();
    for (index, x) in a.iter().enumerate() {
        let mut left = index + 1;
        let mut row = Vec::with_capacity(before.len());
        row.push(left);
        for (y, pair) in b.iter().zip(before.windows(2)) {
            let &[diagonal, above] = pair else { continue };
            let replaced = diagonal + usize::from(x != y);
            left = replaced.min(above + 1).min(left + 1);
            row.push(left);
        }
        before = row;
    }
    before.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
