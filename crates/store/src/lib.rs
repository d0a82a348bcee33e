//! Rollcall: one dialect of SQL, migrations and transactions on SQLite and PostgreSQL.
