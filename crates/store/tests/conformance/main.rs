//! The same expectations of both databases.
//!
//! Each case is written once, against a [`world::World`], and runs on a SQLite file and on a
//! private PostgreSQL server.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod access_policy;
mod audit;
mod group;
mod operation;
mod organization;
mod password;
mod password_writeback;
mod quota;
mod replication_token;
mod schema;
mod service_account;
mod sign_in_guard;
mod sign_in_session;
mod sync_session;
mod sync_settings;
mod tally;
mod transaction;
mod user;
mod userpool;
mod userpool_domain;
mod world;

/// Runs each of the named cases on both engines.
macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(&crate::world::World::sqlite().await).await;
            })+
        }

        /// One server for all cases of a noun, with a database for each: starting it takes longer
        /// than they do.
        #[tokio::test(flavor = "multi_thread")]
        async fn postgres() {
            let server = crate::world::server().await;
            $(
                println!("case {}", stringify!($case));
                $case(&crate::world::World::postgres(&server).await).await;
            )+
        }
    };
}
pub(crate) use on_both_engines;
