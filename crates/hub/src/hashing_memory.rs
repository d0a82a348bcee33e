//! Memory of Argon2, kept from one hash to the next: fresh pages of the system cost a third of the time of
//! a hash.
//!
//! Invariant: memory that waits here is wiped, because with it passwords could be guessed cheaply, and there
//! are at most [`limits::HASHING_MEMORY_KEPT_MAX`] pieces of it. Deliberately absent: hashing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::Block;
use zeroize::Zeroize as _;

use crate::limits;

/// Wiped memory, all of one size: the parameters of our own hashes never change while a hub runs.
static KEPT: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// Memory for one hash; it is wiped and kept when dropped.
pub struct HashingMemory(Vec<Block>);

fn kept() -> MutexGuard<'static, Vec<Vec<Block>>> {
    // Nothing panics while it is locked.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HashingMemory {
    /// Memory of `block_count` blocks of 1 KiB, all zero; `None` when the system has none left.
    #[must_use]
    pub fn take(block_count: usize) -> Option<Self> {
        let spare = kept().pop();
        if let Some(blocks) = spare.filter(|blocks| blocks.len() == block_count) {
            return Some(Self(blocks));
        }
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(block_count).ok()?;
        blocks.resize(block_count, Block::new());
        Some(Self(blocks))
    }
}

impl AsMut<[Block]> for HashingMemory {
    fn as_mut(&mut self) -> &mut [Block] {
        &mut self.0
    }
}

impl Drop for HashingMemory {
    fn drop(&mut self) {
        self.0.iter_mut().zeroize();
        let mut kept = kept();
        if kept.len() < limits::HASHING_MEMORY_KEPT_MAX {
            kept.push(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wiped(memory: &mut HashingMemory) -> bool {
        let words = |block: &Block| AsRef::<[u64]>::as_ref(block).iter().all(|word| *word == 0);
        memory.as_mut().iter().all(words)
    }

    #[test]
    fn what_is_kept_is_wiped_of_the_size_asked_for_and_not_too_much() {
        let mut taken: Vec<_> = (0..limits::HASHING_MEMORY_KEPT_MAX + 2)
            .map(|_| HashingMemory::take(2).unwrap())
            .collect();
        for memory in &mut taken {
            memory
                .as_mut()
                .iter_mut()
                .for_each(|block| block.as_mut().fill(7));
            assert!(!is_wiped(memory));
        }
        drop(taken);
        assert!(kept().len() <= limits::HASHING_MEMORY_KEPT_MAX);
        for block_count in [2, 3, 2] {
            let mut memory = HashingMemory::take(block_count).unwrap();
            assert_eq!(memory.as_mut().len(), block_count);
            assert!(is_wiped(&mut memory));
        }
        assert!(HashingMemory::take(usize::MAX).is_none());
    }
}
