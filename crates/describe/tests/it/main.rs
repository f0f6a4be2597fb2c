//! Descriptions of folders.

mod plain;
