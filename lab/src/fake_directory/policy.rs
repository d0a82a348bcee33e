//! The limits and habits of the controller, which tests may change at any time.

use super::deletion::RecycleBin;
use super::message::Code;

/// What becomes of a DirSync cookie of another controller, or of this one before it was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignCookie {
    /// Everything is reported from the start, without a word.
    #[default]
    Resync,
    /// It is refused with this result.
    Refused(Code),
    /// Its position is taken at its word: what was undone by a restore is never reported. This is
    /// what an up-to-dateness vector leads to (MS-ADTS 3.1.1.1.9): it says that the reader
    /// already has everything up to that number.
    Trusted,
}

/// Whether searches show the members of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberRight {
    /// They do.
    #[default]
    Granted,
    /// They leave them out without a word, as for an account that may not read them. Changes are
    /// reported all the same, for they follow the right to replicate.
    Revoked,
}

/// The limits and habits of the controller.
#[derive(Clone, Debug)]
pub struct Policy {
    /// MaxPageSize: objects in one answer (MS-ADTS 3.1.1.3.4.6).
    pub max_page_size: usize,
    /// MaxValRange: values of one attribute in one answer (MS-ADTS 3.1.1.3.4.6).
    pub max_val_range: usize,
    /// Objects looked at for one page of changes, whether they are reported or not.
    pub changes_per_page: usize,
    /// Changed links of a group in one entry; a longer list comes in several entries.
    pub links_per_entry: usize,
    /// Update sequence numbers that a finished read gives back, so that the next one repeats them.
    pub replayed_usns: u64,
    /// See there.
    pub foreign_cookie: ForeignCookie,
    /// See there.
    pub member_right: MemberRight,
    /// See there.
    pub recycle_bin: RecycleBin,
    /// Attributes with one value that every answer has, asked for or not.
    pub unasked: Vec<(String, Vec<u8>)>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_page_size: 1_000,
            max_val_range: 1_500,
            changes_per_page: 1_000,
            links_per_entry: 1_000,
            replayed_usns: 0,
            foreign_cookie: ForeignCookie::default(),
            member_right: MemberRight::default(),
            recycle_bin: RecycleBin::default(),
            unasked: Vec::new(),
        }
    }
}
