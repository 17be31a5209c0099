//! The two kinds of access: [`Reading`] sees one consistent state, [`Writing`] adds to it. The other files of this
//! folder give them their functions, one file for each kind of record.
//!
//! A `Writing` is also a `Reading`, which sees what the transaction wrote so far. Records are MessagePack with field
//! names, so that a field can be added with a serde default.

use std::borrow::Borrow;
use std::ops::{Deref, RangeBounds};

use redb::{
    AccessGuard, Key, Range, ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition, Value,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;

/// `format`, `batch`, `sequence`: numbers of the whole store.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The number of the last committed batch.
pub(super) const BATCH: &str = "batch";
const SEQUENCE: &str = "sequence";

enum Source<'a> {
    Read(&'a ReadTransaction),
    Write(&'a WriteTransaction),
}

/// A consistent view of everything that is stored.
pub struct Reading<'a> {
    source: Source<'a>,
}

/// A change in the making: all of it is stored, or nothing.
pub struct Writing<'a> {
    reading: Reading<'a>,
    transaction: &'a WriteTransaction,
    wrote: bool,
}

impl<'a> Deref for Writing<'a> {
    type Target = Reading<'a>;
    fn deref(&self) -> &Reading<'a> {
        &self.reading
    }
}

/// A table for reading, of either kind of transaction.
pub(super) enum View<'a, K: Key + 'static, V: Value + 'static> {
    Read(ReadOnlyTable<K, V>),
    Write(Table<'a, K, V>),
}

impl<K: Key + 'static, V: Value + 'static> View<'_, K, V> {
    pub(super) fn get<'k>(&self, key: impl Borrow<K::SelfType<'k>>) -> Result<Option<AccessGuard<'_, V>>, StoreError> {
        Ok(match self {
            Self::Read(table) => redb::ReadableTable::get(table, key)?,
            Self::Write(table) => table.get(key)?,
        })
    }

    pub(super) fn range<'k, B>(&self, range: impl RangeBounds<B> + 'k) -> Result<Range<'_, K, V>, StoreError>
    where
        B: Borrow<K::SelfType<'k>> + 'k,
    {
        Ok(match self {
            Self::Read(table) => redb::ReadableTable::range(table, range)?,
            Self::Write(table) => table.range(range)?,
        })
    }

    pub(super) fn all(&self) -> Result<Range<'_, K, V>, StoreError> {
        Ok(match self {
            Self::Read(table) => redb::ReadableTable::iter(table)?,
            Self::Write(table) => table.iter()?,
        })
    }

    pub(super) fn len(&self) -> Result<u64, StoreError> {
        use redb::ReadableTableMetadata as _;
        Ok(match self {
            Self::Read(table) => table.len()?,
            Self::Write(table) => table.len()?,
        })
    }
}

pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec_named(record).map_err(|error| StoreError::Encode(error.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(table: &str, bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| StoreError::Corrupt(format!("a record of {table} can't be read: {error}")))
}

impl<'a> Reading<'a> {
    pub(super) fn new(transaction: &'a ReadTransaction) -> Self {
        Self { source: Source::Read(transaction) }
    }

    /// A table for reading. A second one of the same name must wait until this one is dropped.
    pub(super) fn view<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<K, V>,
    ) -> Result<View<'a, K, V>, StoreError> {
        Ok(match self.source {
            Source::Read(transaction) => View::Read(transaction.open_table(table)?),
            Source::Write(transaction) => View::Write(transaction.open_table(table)?),
        })
    }

    /// One record.
    pub(super) fn record<'k, K: Key + 'static, T: DeserializeOwned>(
        &self,
        table: TableDefinition<K, &'static [u8]>,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<T>, StoreError> {
        let view = self.view(table)?;
        let found = view.get(key)?;
        found.map(|bytes| decode(redb::TableHandle::name(&table), bytes.value())).transpose()
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.view(META)?.get(name)?.map(|value| value.value()))
    }

    /// How many batches were committed since the store was made.
    pub fn batch(&self) -> Result<u64, StoreError> {
        Ok(self.meta(BATCH)?.unwrap_or(0))
    }
}

impl<'a> Writing<'a> {
    pub(super) fn new(transaction: &'a WriteTransaction) -> Self {
        Self { reading: Reading { source: Source::Write(transaction) }, transaction, wrote: false }
    }

    /// Whether anything was written: only then a failure concerns the whole transaction.
    pub(super) fn wrote(&self) -> bool {
        self.wrote
    }

    pub(super) fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<K, V>,
    ) -> Result<Table<'a, K, V>, StoreError> {
        self.wrote = true;
        Ok(self.transaction.open_table(table)?)
    }

    /// Writes one value.
    pub(super) fn set<'k, 'v, K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<K, V>,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), StoreError> {
        self.table(table)?.insert(key, value)?;
        Ok(())
    }

    /// Writes one record.
    pub(super) fn put<'k, K: Key + 'static, T: Serialize>(
        &mut self,
        table: TableDefinition<K, &'static [u8]>,
        key: impl Borrow<K::SelfType<'k>>,
        record: &T,
    ) -> Result<(), StoreError> {
        let bytes = encode(record)?;
        self.table(table)?.insert(key, bytes.as_slice())?;
        Ok(())
    }

    /// Removes; whether it was there.
    pub(super) fn unset<'k, K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<K, V>,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<bool, StoreError> {
        Ok(self.table(table)?.remove(key)?.is_some())
    }

    /// A number that was never given before.
    pub(super) fn next_number(&mut self) -> Result<u64, StoreError> {
        let next = self.meta(SEQUENCE)?.unwrap_or(0).saturating_add(1);
        self.set(META, SEQUENCE, next)?;
        Ok(next)
    }
}
