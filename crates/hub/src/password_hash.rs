//! Password hashes: making and verifying them, on a bounded pool of workers.
//!
//! Invariant: at most as many hashes are computed at once as there are cores, and a full queue
//! refuses work instead of growing. Background work takes a worker only when nobody waits for one,
//! and never the last one, so that a person who signs in is not kept by a million imports. Nothing here logs or shows a password or a hash. Deliberately
//! absent: which password belongs to whom, and rules about passwords.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::{self, Output, ParamsString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHash, Version};
use md4::{Digest, Md4};
use rollcall_kit::entropy::Entropy;
use rollcall_kit::secret::{SecretBytes, SecretString, with_wiped_stack};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::hashing_memory::HashingMemory;
use crate::limits;

/// Memory of one Argon2id hash in KiB (19 MiB).
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes of one Argon2id hash.
const PASSES: u32 = 2;
/// Lanes of one Argon2id hash.
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// Why no hash was made.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many passwords wait already.
    #[error("too many passwords are being processed: try again in a few seconds")]
    Busy,
    /// The library refused.
    #[error("the password could not be hashed")]
    Failed,
}

/// The salt of one hash.
#[derive(Debug, Clone, Copy)]
pub struct Salt([u8; SALT_BYTES]);

impl Salt {
    /// A new random salt.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        Self(salt)
    }
}

/// The NT hash of a password: MD4 over its UTF-16LE form (MS-NLMP 3.3.1, `NTOWFv1`).
#[must_use]
pub fn nt_hash(password: &SecretString) -> SecretBytes {
    let wide: Zeroizing<Vec<u8>> = Zeroizing::new(
        password
            .expose()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect(),
    );
    with_wiped_stack(|| SecretBytes::new(Md4::digest(&*wide).to_vec()))
}

/// Argon2id over `secret` (a password, or the bytes of an NT hash), as a PHC string.
///
/// # Errors
/// When there is no memory for it.
pub fn strengthen(secret: &SecretBytes, salt: Salt) -> Result<SecretString, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| HashError::Failed)?;
    let output = argon2id(secret, &salt.0, &params).ok_or(HashError::Failed)?;
    let phc = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|_| HashError::Failed)?,
        salt: Some(phc::Salt::new(&salt.0).map_err(|_| HashError::Failed)?),
        hash: Some(output),
    };
    Ok(SecretString::new(phc.to_string()))
}

/// Whether `secret` is what `phc` was made from.
#[must_use]
pub fn verify(secret: &SecretBytes, phc: &SecretString) -> bool {
    let Ok(phc) = PasswordHash::new(phc.expose()) else {
        return false;
    };
    let is_argon2id = phc.algorithm == ARGON2ID_IDENT && phc.version == Some(Version::V0x13.into());
    let (Ok(params), Some(salt), Some(expected), true) =
        (Params::try_from(&phc), &phc.salt, &phc.hash, is_argon2id)
    else {
        return false;
    };
    if params.m_cost() > MEMORY_KIB {
        return false;
    }
    // Outputs are compared in constant time.
    argon2id(secret, salt, &params).is_some_and(|output| output == *expected)
}

fn argon2id(secret: &SecretBytes, salt: &[u8], params: &Params) -> Option<Output> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut memory = HashingMemory::take(params.block_count())?;
    let mut output = Zeroizing::new([0; Output::MAX_LENGTH]);
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let output = output.get_mut(..length)?;
    argon2
        .hash_password_into_with_memory(secret.expose(), salt, output, memory.as_mut())
        .ok()?;
    Output::new(output).ok()
}

/// The workers that compute hashes: one per core.
#[derive(Debug, Clone)]
pub struct HashingPool {
    workers: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Workers that the background may have: all but one, at least one.
    background: Arc<Semaphore>,
    background_workers: usize,
    background_waiting: Arc<AtomicUsize>,
    /// Workers that long work may have: as many as the background.
    long: Arc<Semaphore>,
    long_waiting: Arc<AtomicUsize>,
    /// Tells the background that a worker may be free.
    freed: Arc<Notify>,
}

impl HashingPool {
    /// A pool with one worker per core of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_workers(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn with_workers(worker_count: usize) -> Self {
        let background_workers = worker_count.saturating_sub(1).max(1);
        Self {
            workers: Arc::new(Semaphore::new(worker_count)),
            waiting: Arc::new(AtomicUsize::new(0)),
            background: Arc::new(Semaphore::new(background_workers)),
            background_workers,
            background_waiting: Arc::new(AtomicUsize::new(0)),
            long: Arc::new(Semaphore::new(background_workers)),
            long_waiting: Arc::new(AtomicUsize::new(0)),
            freed: Arc::new(Notify::new()),
        }
    }

    /// How many workers background jobs may use.
    #[must_use]
    pub fn background_workers(&self) -> usize {
        self.background_workers
    }

    /// How many passwords wait for a worker while somebody waits for them.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Runs `work`, for which somebody waits, on a worker.
    ///
    /// # Errors
    /// `Busy` when the queue is full; `Failed` when the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Place::take(&self.waiting, limits::HASHING_QUEUE_MAX)?;
        // The semaphores are never closed.
        let worker = Arc::clone(&self.workers)
            .acquire_owned()
            .await
            .map_err(|_| HashError::Failed)?;
        drop(place);
        self.carry_out(worker, work).await
    }

    /// Runs `work`, for which somebody waits and which may take a hundred times as long as a hash of
    /// our own, on a worker. It never has the last one, where there are several, and few wait for it, so
    /// that nobody else is held up.
    ///
    /// # Errors
    /// As [`HashingPool::run`].
    pub async fn run_long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Place::take(&self.long_waiting, limits::LONG_HASHING_QUEUE_MAX)?;
        let turn = Arc::clone(&self.long).acquire_owned().await;
        let turn = turn.map_err(|_| HashError::Failed)?;
        drop(place);
        self.run(move || {
            // The work goes on when nobody waits for it any more, and its turn lasts as long.
            let _turn = turn;
            work()
        })
        .await
    }

    /// Runs `work`, for which nobody waits, on a worker that nobody else wants.
    ///
    /// # Errors
    /// As [`HashingPool::run`]; the background has a queue of its own.
    pub async fn run_in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Place::take(&self.background_waiting, limits::HASHING_QUEUE_MAX)?;
        let turn = self
            .background
            .acquire()
            .await
            .map_err(|_| HashError::Failed)?;
        let worker = self.idle_worker().await;
        drop(place);
        let result = self.carry_out(worker, work).await;
        drop(turn);
        result
    }

    /// Waits for a worker that nobody in the foreground waits for: a free one goes to those first.
    async fn idle_worker(&self) -> OwnedSemaphorePermit {
        loop {
            // Listening begins before the look, so that no worker is missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Ok(worker) = Arc::clone(&self.workers).try_acquire_owned() {
                return worker;
            }
            freed.await;
        }
    }

    async fn carry_out<T: Send + 'static>(
        &self,
        worker: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let busy = Busy {
            worker: Some(worker),
            freed: Arc::clone(&self.freed),
        };
        // The worker is busy until the work ends, even when nobody waits for it any more.
        tokio::task::spawn_blocking(move || {
            let _busy = busy;
            with_wiped_stack(work)
        })
        .await
        .map_err(|_| HashError::Failed)
    }
}

/// A busy worker: free again, with word to the background, when dropped.
struct Busy {
    worker: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.worker.take());
        self.freed.notify_waiters();
    }
}

impl Default for HashingPool {
    fn default() -> Self {
        Self::new()
    }
}

/// A place in the queue, given back when dropped: a cancelled call must not keep it.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, max: usize) -> Result<Self, HashError> {
        let place = Self(Arc::clone(waiting));
        if waiting.fetch_add(1, Ordering::SeqCst) >= max {
            return Err(HashError::Busy);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordHasher as _;
    use rollcall_kit::entropy::SystemEntropy;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[test]
    fn the_nt_hash_is_the_published_one() {
        // MS-NLMP 4.2.2.1.2: NTOWFv1 of "Password".
        let expected = hex::decode("a4f49c406510bdcab6824ee7c30fd852").unwrap();
        let hash = nt_hash(&SecretString::new("Password".into()));
        assert_eq!(hash.expose(), expected);
    }

    #[test]
    fn only_the_same_secret_verifies() {
        let phc = strengthen(&secret("correct"), Salt::random(&SystemEntropy)).unwrap();
        assert!(phc.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify(&secret("correct"), &phc));
        assert!(!verify(&secret("wrong"), &phc));
        assert!(!verify(
            &secret("correct"),
            &SecretString::new("junk".into())
        ));
        let again = strengthen(&secret("correct"), Salt::random(&SystemEntropy)).unwrap();
        assert_ne!(phc, again, "salts must differ");
    }

    #[test]
    fn the_library_makes_the_same_hashes() {
        let params = |kib| Params::new(kib, PASSES, LANES, None).unwrap();
        let by_library = |kib| {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params(kib));
            let phc = argon2.hash_password_with_salt(b"correct", &[7; SALT_BYTES]);
            SecretString::new(phc.unwrap().to_string())
        };
        let ours = strengthen(&secret("correct"), Salt([7; SALT_BYTES])).unwrap();
        assert_eq!(ours, by_library(MEMORY_KIB));
        for (kib, expected) in [(64, true), (MEMORY_KIB, true), (MEMORY_KIB + 1, false)] {
            let phc = by_library(kib);
            assert_eq!(verify(&secret("correct"), &phc), expected, "{kib}");
            assert!(!verify(&secret("wrong"), &phc), "{kib}");
        }
    }

    #[tokio::test]
    async fn the_pool_runs_work_and_refuses_a_flood() {
        let pool = HashingPool::new();
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
        let taken: Vec<_> = (0..limits::HASHING_QUEUE_MAX)
            .map(|_| Place::take(&pool.waiting, limits::HASHING_QUEUE_MAX).unwrap())
            .collect();
        assert!(matches!(pool.run(|| 7).await, Err(HashError::Busy)));
        drop(taken);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    /// Work that lasts until it is told to end, and tells when it began.
    fn gate() -> (
        impl FnOnce() + Send + 'static,
        tokio::sync::oneshot::Receiver<()>,
        std::sync::mpsc::Sender<()>,
    ) {
        let (tell_begun, begun) = tokio::sync::oneshot::channel();
        let (end, wait_for_end) = std::sync::mpsc::channel();
        let work = move || {
            tell_begun.send(()).unwrap();
            wait_for_end.recv().unwrap();
        };
        (work, begun, end)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_is_waited_for_goes_before_the_background() {
        let pool = HashingPool::with_workers(1);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (work, begun, end) = gate();
        let running = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(work).await.unwrap() }
        });
        begun.await.unwrap();
        // The background asks first, and more often.
        let mut tasks = Vec::new();
        let waits = |pool: &HashingPool| {
            let (waiting, background) = (&pool.waiting, &pool.background_waiting);
            (
                waiting.load(Ordering::SeqCst),
                background.load(Ordering::SeqCst),
            )
        };
        for number in 0..3 {
            let (pool, order) = (pool.clone(), Arc::clone(&order));
            let note = move || order.lock().unwrap().push(format!("background {number}"));
            tasks.push(tokio::spawn(async move {
                pool.run_in_background(note).await.unwrap();
            }));
        }
        while waits(&pool).1 < 3 {
            tokio::task::yield_now().await;
        }
        for number in 0..2 {
            let (pool, order) = (pool.clone(), Arc::clone(&order));
            let note = move || order.lock().unwrap().push(format!("foreground {number}"));
            tasks.push(tokio::spawn(async move { pool.run(note).await.unwrap() }));
        }
        while waits(&pool).0 < 2 {
            tokio::task::yield_now().await;
        }
        end.send(()).unwrap();
        running.await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let first: Vec<_> = order.iter().take(2).map(|name| &name[..10]).collect();
        assert_eq!(first, ["foreground", "foreground"], "{order:?}");
        assert_eq!(order.len(), 5);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn long_work_leaves_one_worker_free_and_refuses_a_flood() {
        let pool = HashingPool::with_workers(2);
        let (work, begun, end) = gate();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run_long(work).await }
        });
        begun.await.unwrap();
        // Its turn lasts as long as the work, though nobody waits for that any more.
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let waiting: Vec<_> = (0..limits::LONG_HASHING_QUEUE_MAX)
            .map(|number| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run_long(move || number).await.unwrap() })
            })
            .collect();
        while pool.long_waiting.load(Ordering::SeqCst) < waiting.len() {
            assert!(waiting.iter().all(|task| !task.is_finished()));
            tokio::task::yield_now().await;
        }
        assert!(matches!(pool.run_long(|| 7).await, Err(HashError::Busy)));
        // Whoever has a short hash does not wait.
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
        assert!(waiting.iter().all(|task| !task.is_finished()));
        end.send(()).unwrap();
        for (number, task) in waiting.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), number);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_background_leaves_one_worker_free() {
        let pool = HashingPool::with_workers(3);
        assert_eq!(pool.background_workers(), 2);
        let mut ends = Vec::new();
        let mut tasks = Vec::new();
        for _ in 0..2 {
            let (work, begun, end) = gate();
            let pool = pool.clone();
            tasks.push(tokio::spawn(async move {
                pool.run_in_background(work).await.unwrap();
            }));
            begun.await.unwrap();
            ends.push(end);
        }
        let (work, mut begun, end) = gate();
        tasks.push(tokio::spawn({
            let pool = pool.clone();
            async move { pool.run_in_background(work).await.unwrap() }
        }));
        // There is a worker for somebody who waits, and none more for the background.
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
        assert!(begun.try_recv().is_err());
        ends.push(end);
        for end in ends {
            end.send(()).unwrap();
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}
