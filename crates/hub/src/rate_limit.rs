//! How often somebody may call: a token bucket for each caller.
//!
//! Invariant: a caller makes at most `burst` calls at once and `per_second` in the long run,
//! whatever the clock does; the table of callers is bounded, and forgets those whose bucket is full
//! again, because a full bucket and an unknown caller are the same. Deliberately absent: who counts
//! as one caller, which the call's layers decide; limits across several hubs of one database.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::limits::{RATE_SWEEP_SECONDS_MIN, RATE_TABLE_ENTRIES_MAX};

/// One call, in the unit of a bucket: so many parts flow in per microsecond at one call a second.
const CALL: i64 = 1_000_000;

/// Refuses calls that come too fast.
#[derive(Debug)]
pub struct RateLimiter<K> {
    rate: Option<Rate>,
    table: Mutex<Table<K>>,
}

/// The refusal: the caller may try again after this wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "calls come faster than the hub allows: wait {} ms and try again",
    .retry_after.as_micros().div_euclid(1_000).saturating_add(1)
)]
pub struct TooFast {
    /// When one more call fits, from now.
    pub retry_after: Span,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: i64,
    capacity: i64,
}

/// The calls left to one caller.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: i64,
    at: Timestamp,
}

#[derive(Debug)]
struct Table<K> {
    buckets: HashMap<K, Bucket>,
    /// Shared by all callers that found the table full.
    overflow: Option<Bucket>,
    swept_at: Timestamp,
}

impl<K: Hash + Eq> RateLimiter<K> {
    /// Allows `per_second` calls a second (0 = any number) and `burst` at once.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let rate = (per_second > 0).then(|| Rate {
            per_second: i64::from(per_second),
            capacity: i64::from(burst.max(1)).saturating_mul(CALL),
        });
        Self {
            rate,
            table: Mutex::new(Table {
                buckets: HashMap::new(),
                overflow: None,
                swept_at: Timestamp::EPOCH,
            }),
        }
    }

    /// Counts a call of `key`, unless it comes too fast.
    ///
    /// # Errors
    /// `TooFast`; the call is not counted then.
    pub fn take<Q>(&self, key: &Q, now: Timestamp) -> Result<(), TooFast>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.with_bucket(key, now, |rate, bucket| {
            rate.has_call(*bucket)?;
            bucket.level -= CALL;
            Ok(())
        })
    }

    /// Undoes one [`RateLimiter::take`] of `key`.
    pub fn give_back<Q>(&self, key: &Q, now: Timestamp)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.with_bucket(key, now, |rate, bucket| {
            bucket.level = bucket.level.saturating_add(CALL).min(rate.capacity);
            Ok(())
        })
        .unwrap_or_default();
    }

    fn with_bucket<Q>(
        &self,
        key: &Q,
        now: Timestamp,
        change: impl FnOnce(Rate, &mut Bucket) -> Result<(), TooFast>,
    ) -> Result<(), TooFast>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Some(rate) = self.rate else {
            return Ok(());
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = table.bucket(key, rate, now);
        *bucket = rate.refilled(*bucket, now);
        change(rate, bucket)
    }
}

impl Rate {
    fn refilled(self, bucket: Bucket, now: Timestamp) -> Bucket {
        // A clock that was set back brings nothing and takes nothing.
        let elapsed = now.since(bucket.at).as_micros().max(0);
        let inflow = elapsed.saturating_mul(self.per_second);
        Bucket {
            level: bucket.level.saturating_add(inflow).min(self.capacity),
            at: now,
        }
    }

    fn has_call(self, bucket: Bucket) -> Result<(), TooFast> {
        let missing = CALL - bucket.level;
        if missing <= 0 {
            return Ok(());
        }
        // Rounded up, so that the call fits after the wait.
        let micros = missing.saturating_add(self.per_second - 1) / self.per_second;
        Err(TooFast {
            retry_after: Span::micros(micros),
        })
    }
}

impl<K: Hash + Eq> Table<K> {
    fn bucket<Q>(&mut self, key: &Q, rate: Rate, now: Timestamp) -> &mut Bucket
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let full = Bucket {
            level: rate.capacity,
            at: now,
        };
        if !self.buckets.contains_key(key) {
            self.make_room(rate, now);
            if self.buckets.len() >= RATE_TABLE_ENTRIES_MAX {
                return self.overflow.get_or_insert(full);
            }
        }
        self.buckets.entry(key.to_owned()).or_insert(full)
    }

    /// Forgets who may call at full speed again; not more often than now and then, because it
    /// looks at everybody.
    fn make_room(&mut self, rate: Rate, now: Timestamp) {
        let since = now.since(self.swept_at);
        let is_due = since < Span::ZERO || since >= Span::seconds(RATE_SWEEP_SECONDS_MIN);
        if self.buckets.len() >= RATE_TABLE_ENTRIES_MAX && is_due {
            self.swept_at = now;
            self.buckets
                .retain(|_, bucket| rate.refilled(*bucket, now).level < rate.capacity);
        }
    }
}

/// What counts as one address: a whole IPv6 network of 64 bits, which one customer has.
#[must_use]
pub fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::clock::{Clock as _, ManualClock};

    fn clock() -> ManualClock {
        ManualClock::at(Timestamp::from_seconds(1_000))
    }

    fn allowed(limiter: &RateLimiter<String>, key: &str, now: Timestamp) -> usize {
        (0..1_000)
            .take_while(|_| limiter.take(key, now).is_ok())
            .count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (clock, limiter) = (clock(), RateLimiter::new(10, 5));
        assert_eq!(allowed(&limiter, "a", clock.now()), 5);
        let refusal = limiter.take("a", clock.now()).unwrap_err();
        assert_eq!(refusal.retry_after, Span::micros(100_000));
        clock.advance(Span::micros(refusal.retry_after.as_micros() - 1));
        assert!(limiter.take("a", clock.now()).is_err());
        clock.advance(Span::micros(1));
        assert_eq!(allowed(&limiter, "a", clock.now()), 1);
        clock.advance(Span::seconds(3_600));
        assert_eq!(allowed(&limiter, "a", clock.now()), 5);
    }

    #[test]
    fn callers_do_not_share() {
        let (clock, limiter) = (clock(), RateLimiter::new(1, 2));
        assert_eq!(allowed(&limiter, "a", clock.now()), 2);
        assert_eq!(allowed(&limiter, "b", clock.now()), 2);
    }

    #[test]
    fn zero_is_no_limit() {
        let limiter = RateLimiter::new(0, 1);
        assert_eq!(allowed(&limiter, "a", clock().now()), 1_000);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let (clock, limiter) = (clock(), RateLimiter::new(1, 2));
        assert_eq!(allowed(&limiter, "a", clock.now()), 2);
        limiter.give_back("a", clock.now());
        assert_eq!(allowed(&limiter, "a", clock.now()), 1);
        for _ in 0..100 {
            limiter.give_back("a", clock.now());
        }
        assert_eq!(allowed(&limiter, "a", clock.now()), 2);
    }

    #[test]
    fn a_clock_set_back_gives_nothing() {
        let (clock, limiter) = (clock(), RateLimiter::new(1, 2));
        assert_eq!(allowed(&limiter, "a", clock.now()), 2);
        clock.advance(Span::seconds(-500));
        assert_eq!(allowed(&limiter, "a", clock.now()), 0);
        clock.advance(Span::seconds(1));
        assert_eq!(allowed(&limiter, "a", clock.now()), 1);
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let (clock, limiter) = (clock(), RateLimiter::new(1, 2));
        for caller in 0..RATE_TABLE_ENTRIES_MAX {
            limiter.take(&caller.to_string(), clock.now()).unwrap();
        }
        // Those who come late share one bucket.
        assert_eq!(allowed(&limiter, "late", clock.now()), 2);
        assert_eq!(allowed(&limiter, "later", clock.now()), 0);
        assert!(limiter.take("later", clock.now()).is_err());
        let entries = || limiter.table.lock().unwrap().buckets.len();
        assert_eq!(entries(), RATE_TABLE_ENTRIES_MAX);
        clock.advance(Span::seconds(60));
        assert_eq!(allowed(&limiter, "later", clock.now()), 2);
        assert_eq!(entries(), 1);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let key = |text: &str| address_key(text.parse().unwrap()).to_string();
        assert_eq!(key("192.0.2.7"), "192.0.2.7");
        assert_eq!(key("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(key("::1"), "::");
    }
}
