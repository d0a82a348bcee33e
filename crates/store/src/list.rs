//! Pages of rows: order, cursor and filter, the same for every noun.
//!
//! Invariant: pages are ordered by creation time and id, ties included, so nothing is skipped or
//! seen twice while others insert (decision U70). `contains` is evaluated here, because the two
//! engines fold letters differently; then a page may be shorter than asked, never wrong.

use rollcall_domain::filter::{Filter, Test};
use rollcall_domain::page::{Cursor, Page, PageRequest};

use crate::db::Tx;
use crate::db::value::{Param, Row};
use crate::error::Error;

/// Rows that one call looks at when a condition cannot be given to the database.
const ROWS_SCANNED_MAX: usize = 10_000;
/// Rows fetched at once in such a scan.
const ROWS_PER_SCAN: u32 = 1_000;

/// A noun that is listed in pages.
pub(crate) trait Listed: Sized {
    /// `select … from …`, without conditions.
    const SELECT: &'static str;
    /// The columns of the order: creation time, then id.
    const KEY: [&'static str; 2];

    /// Reads the columns of `SELECT`.
    fn read(row: &mut Row) -> Result<Self, Error>;

    /// The position of this entry in the order.
    fn cursor(&self) -> Cursor;

    /// The SQL expression for a field of filters, never null.
    fn column(_field: &str) -> Option<&'static str> {
        None
    }

    /// The value of a field of filters, in the form in which it is compared.
    fn value(&self, _field: &str) -> String {
        String::new()
    }
}

/// The direction of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

/// One page of the rows for which `scope` holds; it may use `$1` up to the number of
/// `scope_params`.
pub(crate) async fn page<T: Listed>(
    tx: &Tx,
    scope: &str,
    scope_params: &[Param<'_>],
    filter: &Filter,
    order: Order,
    request: &PageRequest,
) -> Result<Page<T>, Error> {
    let mut sql = format!("{} where {scope}", T::SELECT);
    let mut params = scope_params.to_vec();
    add_conditions::<T>(filter, &mut sql, &mut params)?;
    let remaining: Vec<_> = filter
        .conditions
        .iter()
        .filter(|condition| matches!(condition.test, Test::Contains(_)))
        .collect();
    if remaining.is_empty() {
        let rows = fetch::<T>(
            tx,
            &sql,
            &params,
            order,
            request.after.as_ref(),
            request.size + 1,
        )
        .await?;
        return Ok(Page::cut(rows, request.size, T::cursor));
    }
    let wanted = usize::try_from(request.size).unwrap_or(usize::MAX);
    let mut found: Vec<T> = Vec::new();
    let mut after = request.after.clone();
    let mut scanned = 0;
    loop {
        let rows = fetch::<T>(tx, &sql, &params, order, after.as_ref(), ROWS_PER_SCAN).await?;
        let exhausted = rows.len() < ROWS_PER_SCAN as usize;
        scanned += rows.len();
        for row in rows {
            after = Some(row.cursor());
            let passes = remaining
                .iter()
                .all(|condition| condition.test.passes(&row.value(condition.field)));
            if passes {
                found.push(row);
            }
            if found.len() > wanted {
                return Ok(Page::cut(found, request.size, T::cursor));
            }
        }
        if exhausted {
            return Ok(Page {
                items: found,
                next: None,
            });
        }
        if scanned >= ROWS_SCANNED_MAX {
            return Ok(Page {
                items: found,
                next: after,
            });
        }
    }
}

async fn fetch<T: Listed>(
    tx: &Tx,
    sql: &str,
    params: &[Param<'_>],
    order: Order,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<T>, Error> {
    let [time, id] = T::KEY;
    let (sign, direction) = match order {
        Order::OldestFirst => (">", "asc"),
        Order::NewestFirst => ("<", "desc"),
    };
    let mut sql = sql.to_owned();
    let mut params = params.to_vec();
    if let Some(cursor) = after {
        let (a, b) = (params.len() + 1, params.len() + 2);
        sql.push_str(&format!(" and ({time}, {id}) {sign} (${a}, ${b})"));
        params.push(cursor.created_at.into());
        params.push(Param::Text(&cursor.id));
    }
    let n = params.len() + 1;
    sql.push_str(&format!(
        " order by {time} {direction}, {id} {direction} limit ${n}"
    ));
    params.push(limit.into());
    tx.all(&sql, &params, T::read).await
}

fn add_conditions<'a, T: Listed>(
    filter: &'a Filter,
    sql: &mut String,
    params: &mut Vec<Param<'a>>,
) -> Result<(), Error> {
    for condition in &filter.conditions {
        let column = T::column(condition.field).ok_or_else(|| {
            Error::failed(format!("a list cannot be filtered by {}", condition.field))
        })?;
        let (operator, values) = match &condition.test {
            Test::Equal(value) => ("=", std::slice::from_ref(value)),
            Test::NotEqual(value) => ("<>", std::slice::from_ref(value)),
            Test::In(values) => ("in", values.as_slice()),
            Test::NotIn(values) => ("not in", values.as_slice()),
            Test::Contains(_) => continue,
        };
        let first = params.len() + 1;
        params.extend(values.iter().map(Param::from));
        let placeholders = placeholders(first, values.len());
        sql.push_str(&format!(" and {column} {operator} ({placeholders})"));
    }
    Ok(())
}

/// `$first, …` for `count` parameters.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let names: Vec<_> = (first..first + count).map(|n| format!("${n}")).collect();
    names.join(", ")
}

/// Sizes of `in` lists; lists in between are filled up with repetitions, so that the engines see
/// few different statements.
const IN_LIST_SIZES: [usize; 4] = [1, 10, 100, 500];

/// Cuts `items` into lists for `in (…)` of few different sizes.
pub(crate) fn in_lists<'a, T>(items: &'a [T]) -> impl Iterator<Item = Vec<Param<'a>>>
where
    Param<'a>: From<&'a T>,
{
    let largest = IN_LIST_SIZES.last().copied().unwrap_or(1);
    items.chunks(largest).map(move |chunk| {
        let size = IN_LIST_SIZES
            .iter()
            .copied()
            .find(|size| *size >= chunk.len())
            .unwrap_or(largest);
        let mut params: Vec<_> = chunk.iter().map(Param::from).collect();
        if let Some(last) = params.last().copied() {
            params.resize(size, last);
        }
        params
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_lists_hold_everything_in_few_sizes() {
        for count in [0, 1, 2, 10, 11, 100, 499, 500, 501, 1_000, 1_001] {
            let items: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            let mut seen = std::collections::BTreeSet::new();
            for list in in_lists(&items) {
                assert!(IN_LIST_SIZES.contains(&list.len()));
                for param in list {
                    let Param::Text(text) = param else {
                        panic!("a text is expected")
                    };
                    seen.insert(text.to_owned());
                }
            }
            assert_eq!(seen, items.into_iter().collect());
        }
    }
}
