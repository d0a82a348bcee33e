//! Lists that come in pages.

use clap::Args;
use rollcall_client::ClientError;

use crate::failure::Failure;
use crate::progress::Progress;

/// The most results that one page may have; the hub accepts no more.
const PAGE_SIZE_MAX: usize = 1_000;

/// How much of a list is wanted.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Show at most this many; 0 for all.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: usize,

    /// Fetch this many with each call.
    #[arg(long, value_name = "COUNT", default_value_t = 500,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    page_size: usize,
}

/// `--filter` of lists.
#[derive(Debug, Args)]
pub struct FilterArguments {
    /// Show only what fits, for example 'name = "staff"'.
    #[arg(
        long,
        value_name = "EXPRESSION",
        default_value = "",
        hide_default_value = true
    )]
    pub filter: String,
}

impl ListArguments {
    /// The same pages, but up to `limit` results.
    pub fn up_to(&self, limit: usize) -> Self {
        Self {
            limit,
            page_size: self.page_size,
        }
    }

    /// Fetches page after page until the limit or the end; says so when there is more.
    ///
    /// # Errors
    /// What a call ends with.
    pub async fn collect<T, F, Fut>(&self, mut fetch: F) -> Result<Vec<T>, Failure>
    where
        F: FnMut(i64, String) -> Fut,
        Fut: Future<Output = Result<(Vec<T>, String), ClientError>>,
    {
        let mut all = Vec::new();
        let mut token = String::new();
        let mut progress = Progress::begin("listing");
        loop {
            let left = if self.limit == 0 {
                PAGE_SIZE_MAX
            } else {
                self.limit.saturating_sub(all.len())
            };
            let size = i64::try_from(left.min(self.page_size)).unwrap_or(1);
            let (page, next) = fetch(size, token.clone()).await?;
            all.extend(page);
            let is_full = self.limit != 0 && all.len() >= self.limit;
            if is_full && !next.is_empty() {
                all.truncate(self.limit);
                eprintln!("rollcall: there are more; raise --limit, or give 0 for all");
            }
            if is_full || next.is_empty() {
                return Ok(all);
            }
            if next == token {
                return Err(Failure::Other(
                    "the hub repeats a page of the list: report this as a fault of the hub"
                        .to_owned(),
                ));
            }
            token = next;
            progress.tick(&format!("{} so far", all.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbers(limit: usize, page_size: usize) -> (Vec<i64>, Vec<i64>) {
        let mut sizes = Vec::new();
        let list = ListArguments { limit, page_size };
        let all = list
            .collect(|size, token| {
                sizes.push(size);
                let from: i64 = token.parse().unwrap_or(0);
                let to = (from + size).min(25);
                let next = if to == 25 {
                    String::new()
                } else {
                    to.to_string()
                };
                async move { Ok(((from..to).collect(), next)) }
            })
            .await
            .unwrap();
        (all, sizes)
    }

    #[tokio::test]
    async fn pages_are_joined_up_to_the_limit() {
        assert_eq!(numbers(0, 10).await, ((0..25).collect(), vec![10, 10, 10]));
        assert_eq!(numbers(15, 10).await, ((0..15).collect(), vec![10, 5]));
        assert_eq!(numbers(10, 10).await, ((0..10).collect(), vec![10]));
        assert_eq!(numbers(100, 1_000).await, ((0..25).collect(), vec![100]));
    }

    #[tokio::test]
    async fn a_hub_that_repeats_itself_is_left() {
        let list = ListArguments {
            limit: 0,
            page_size: 10,
        };
        let result = list
            .collect(|_, _| async { Ok((vec![1], "same".to_owned())) })
            .await;
        assert!(matches!(result, Err(Failure::Other(_))));
    }
}
