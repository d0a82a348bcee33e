//! Pages of lists: where the last one ended.
//!
//! Invariant: lists are ordered by creation time and id, so a cursor is stable while others
//! insert (decision U70). Deliberately absent: sealing the cursor for the caller.

use rollcall_kit::timestamp::Timestamp;

use crate::refusal::Refusal;

/// Entries of a page when the caller names no size.
pub const PAGE_SIZE_DEFAULT: u32 = 100;
/// Most entries of a page.
pub const PAGE_SIZE_MAX: u32 = 1_000;

/// The last entry of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Creation time of the entry.
    pub created_at: Timestamp,
    /// Id of the entry.
    pub id: String,
}

impl Cursor {
    /// Behind the entry `id` that was made at `created_at`.
    #[must_use]
    pub fn new(created_at: Timestamp, id: &(impl ToString + ?Sized)) -> Self {
        Self {
            created_at,
            id: id.to_string(),
        }
    }
}

/// A request for one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Most entries.
    pub size: u32,
    /// Where the page before ended; `None` = from the beginning.
    pub after: Option<Cursor>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its entries.
    pub items: Vec<T>,
    /// Where the next page begins; `None` = this is the last one.
    pub next: Option<Cursor>,
}

impl PageRequest {
    /// A page of `size` entries; 0 = the default.
    ///
    /// # Errors
    /// `Invalid` naming `page_size` outside 0 to 1,000.
    pub fn new(size: i64, after: Option<Cursor>) -> Result<Self, Refusal> {
        let size = match u32::try_from(size) {
            Ok(0) => PAGE_SIZE_DEFAULT,
            Ok(size) if size <= PAGE_SIZE_MAX => size,
            _ => {
                return Err(Refusal::invalid(
                    "page_size",
                    format!("is {size}, must be between 0 and {PAGE_SIZE_MAX}"),
                ));
            }
        };
        Ok(Self { size, after })
    }

    /// The first page of the largest size.
    #[must_use]
    pub fn first() -> Self {
        Self {
            size: PAGE_SIZE_MAX,
            after: None,
        }
    }

    /// The page after one that ended at `cursor`, of the same size.
    #[must_use]
    pub fn following(&self, cursor: Cursor) -> Self {
        Self {
            size: self.size,
            after: Some(cursor),
        }
    }
}

impl<T> Page<T> {
    /// Makes a page of up to `size` entries from a read of one entry more.
    #[must_use]
    pub fn cut(mut items: Vec<T>, size: u32, cursor: impl Fn(&T) -> Cursor) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (size, expected) in [
            (0, Some(100)),
            (1, Some(1)),
            (1_000, Some(1_000)),
            (1_001, None),
            (-1, None),
        ] {
            assert_eq!(
                PageRequest::new(size, None).ok().map(|page| page.size),
                expected,
                "{size}"
            );
        }
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        let cursor = |n: &i64| Cursor::new(Timestamp::from_micros(*n), n);
        assert_eq!(
            Page::cut(vec![1, 2], 2, cursor),
            Page {
                items: vec![1, 2],
                next: None
            }
        );
        let page = Page::cut(vec![1, 2, 3], 2, cursor);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(page.next, Some(cursor(&2)));
    }
}
