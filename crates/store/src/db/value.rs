//! Values on their way into and out of SQL.
//!
//! Invariant: the five kinds here are all that the schema uses; a row is read from left to right,
//! in the order of the columns of its query.

use rollcall_domain::named::Named;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Timestamp;

use crate::error::Error;

/// A parameter of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Param<'a> {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// A value of a row.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    /// No value.
    Null,
    /// A truth value (PostgreSQL; SQLite has numbers instead).
    Bool(bool),
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A row that is read from left to right.
pub struct Row {
    cells: std::vec::IntoIter<Cell>,
    column: usize,
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Param<'_> {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<Timestamp> for Param<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.as_micros())
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Param<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! param_from_id {
    ($($type:ident),+) => {$(
        impl<'a> From<&'a rollcall_domain::id::$type> for Param<'a> {
            fn from(id: &'a rollcall_domain::id::$type) -> Self {
                Self::Text(id.as_str())
            }
        }
    )+};
}

param_from_id!(
    OrganizationId,
    UserpoolId,
    UserId,
    GroupId,
    SubjectId,
    SessionId,
    OperationId,
    PasswordId,
    ServiceAccountId,
    KeyId,
    TokenId,
    SignInSessionId,
    AuditEventId
);

/// The parameters of a statement, each converted.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::value::Param::from($value)),*] };
}
pub(crate) use params;

impl Row {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Self {
            cells: cells.into_iter(),
            column: 0,
        }
    }

    fn next(&mut self) -> Result<Cell, Error> {
        self.column += 1;
        self.cells
            .next()
            .ok_or_else(|| Error::corrupt(format!("column {} is missing", self.column)))
    }

    fn unexpected(&self, kind: &str) -> Error {
        Error::corrupt(format!("column {} of the row is no {kind}", self.column))
    }

    /// A text or nothing.
    pub fn opt_text(&mut self) -> Result<Option<String>, Error> {
        match self.next()? {
            Cell::Text(text) => Ok(Some(text)),
            Cell::Null => Ok(None),
            _ => Err(self.unexpected("text")),
        }
    }

    /// A text.
    pub fn text(&mut self) -> Result<String, Error> {
        self.opt_text()?.ok_or_else(|| self.unexpected("text"))
    }

    /// An id.
    pub fn id<T: From<String>>(&mut self) -> Result<T, Error> {
        self.text().map(T::from)
    }

    /// An id or nothing.
    pub fn opt_id<T: From<String>>(&mut self) -> Result<Option<T>, Error> {
        Ok(self.opt_text()?.map(T::from))
    }

    /// A secret text or nothing.
    pub fn opt_secret(&mut self) -> Result<Option<SecretString>, Error> {
        Ok(self.opt_text()?.map(SecretString::new))
    }

    /// Secret bytes or nothing.
    pub fn opt_secret_bytes(&mut self) -> Result<Option<SecretBytes>, Error> {
        Ok(self.opt_bytes()?.map(SecretBytes::new))
    }

    /// A number or nothing.
    pub fn opt_int(&mut self) -> Result<Option<i64>, Error> {
        match self.next()? {
            Cell::Int(number) => Ok(Some(number)),
            Cell::Null => Ok(None),
            _ => Err(self.unexpected("number")),
        }
    }

    /// A number.
    pub fn int(&mut self) -> Result<i64, Error> {
        self.opt_int()?.ok_or_else(|| self.unexpected("number"))
    }

    /// A count.
    pub fn count(&mut self) -> Result<u64, Error> {
        u64::try_from(self.int()?).map_err(|_| self.unexpected("count"))
    }

    /// A moment.
    pub fn time(&mut self) -> Result<Timestamp, Error> {
        self.int().map(Timestamp::from_micros)
    }

    /// A moment or nothing.
    pub fn opt_time(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(self.opt_int()?.map(Timestamp::from_micros))
    }

    /// A truth value.
    pub fn bool(&mut self) -> Result<bool, Error> {
        match self.next()? {
            Cell::Bool(value) => Ok(value),
            Cell::Int(number) => Ok(number != 0),
            _ => Err(self.unexpected("truth value")),
        }
    }

    /// Bytes or nothing.
    pub fn opt_bytes(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.next()? {
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            Cell::Null => Ok(None),
            _ => Err(self.unexpected("bytes")),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        self.opt_bytes()?.ok_or_else(|| self.unexpected("bytes"))
    }

    /// A value of a named enum.
    pub fn named<T: Named>(&mut self) -> Result<T, Error> {
        let name = self.text()?;
        T::parse(&name).ok_or_else(|| {
            Error::corrupt(format!(
                "column {} has the unknown name {name:?}",
                self.column
            ))
        })
    }

    /// A value of a named enum or nothing.
    pub fn opt_named<T: Named>(&mut self) -> Result<Option<T>, Error> {
        match self.opt_text()? {
            None => Ok(None),
            Some(name) => T::parse(&name).map(Some).ok_or_else(|| {
                Error::corrupt(format!(
                    "column {} has the unknown name {name:?}",
                    self.column
                ))
            }),
        }
    }
}
