//! Enums with a fixed name for each value: the name used in the database, in filters and in masks.
//!
//! Invariant: `parse(name(x)) == Some(x)` for every value. Deliberately absent: wire numbers.

/// An enum whose values have fixed names.
pub trait Named: Copy + Ord + 'static {
    /// Every value, in order of declaration.
    const ALL: &'static [Self];

    /// The fixed name of this value.
    fn name(self) -> &'static str;

    /// The value with that name; names are case-sensitive.
    #[must_use]
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }
}

/// Declares an enum together with the names of its values.
macro_rules! named_enum {
    ($(#[$meta:meta])* pub enum $type:ident { $($(#[$value_meta:meta])* $value:ident = $name:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$value_meta])* $value),+ }

        impl $crate::named::Named for $type {
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn name(self) -> &'static str {
                match self { $(Self::$value => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::named::Named::name(*self))
            }
        }
    };
}
pub(crate) use named_enum;
