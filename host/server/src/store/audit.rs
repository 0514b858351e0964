//! What was done with the admin API, and what was refused: kept for a while.

use std::sync::Arc;

use reprieve_core::{
    access::Tenants,
    evidence::StoreFault,
    ids::{TenantId, TokenName},
    time::{Millis, UnixMillis},
};
use rusqlite::{Connection, ToSql, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{readers::Readers, row, writer::Writer};

/// Entries kept at most; the oldest go first. About 100 MB.
const MAX_ENTRIES: i64 = 200_000;

/// Entries removed by one round of housekeeping at most.
const MAX_PRUNED: u32 = 1_000;

/// Entries that one reading returns at most.
const MAX_LISTED: u32 = 1_000;

/// One request that changed something, or was to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: UnixMillis,
    /// The token that was shown. None: none that is known.
    pub who: Option<TokenName>,
    /// From where, as far as the host sees.
    pub peer: Option<String>,
    /// Method and route: `POST /admin/v1/workspaces/{workspace}/restart`.
    pub route: String,
    /// The path that was asked for.
    pub target: String,
    /// Whose the target is. None: nobody's own, or not known.
    pub tenant: Option<TenantId>,
    /// The status of the answer.
    pub status: u16,
    /// Why it was refused, or what the asker gave as the reason.
    pub detail: Option<String>,
    /// What it was before, and what it became, where that is small.
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// Refused attempts that were left out before this entry, to bound them.
    #[serde(default)]
    pub left_out: u64,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// Counts entries; larger is newer.
    pub number: u64,
    pub entry: AuditEntry,
}

/// Which entries to read: the newest `limit`, newest first.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// Only about these. [`Tenants::All`]: about nobody's own, too.
    pub tenants: Tenants,
    /// Only older ones than this.
    pub before: Option<u64>,
    pub limit: u32,
}

/// The audit log of this host.
#[derive(Debug)]
pub struct AuditLog {
    writer: Writer,
    readers: Arc<Readers>,
    max_age: Millis,
}

impl AuditLog {
    /// A year and a month: so that last year's entries are there for who asks in
    /// January.
    pub const DEFAULT_MAX_AGE: Millis = Millis::from_secs(400 * 24 * 3_600);

    pub(super) fn new(writer: &Writer, readers: &Arc<Readers>, max_age: Millis) -> Self {
        Self { writer: writer.clone(), readers: Arc::clone(readers), max_age }
    }

    /// On disk before it returns.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), StoreFault> {
        self.writer
            .write(0, move |connection| {
                let tenant = entry.tenant.as_ref().map(TenantId::as_str);
                connection
                    .prepare_cached("INSERT INTO audit (at, tenant, entry) VALUES (?1, ?2, ?3)")?
                    .execute(params![entry.at.0, tenant, row::to_json(&entry)?])
                    .map(|_| ())
            })
            .await
    }

    pub async fn list(&self, filter: AuditFilter) -> Result<Vec<AuditRecord>, StoreFault> {
        self.readers.read(move |connection| list(connection, &filter)).await
    }

    /// Removes the oldest beyond the limits, some at a time.
    pub(super) async fn prune(&self, now: UnixMillis) -> Result<(), StoreFault> {
        let oldest = now.0.saturating_sub(self.max_age.0);
        let sql = "DELETE FROM audit
                   WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?1)
                     AND (at < ?2 OR seq <= (SELECT max(seq) FROM audit) - ?3)";
        let pruned = self.writer.write(0, move |connection| {
            connection.prepare_cached(sql)?.execute(params![MAX_PRUNED, oldest, MAX_ENTRIES])
        });
        pruned.await.map(|_| ())
    }
}

fn list(connection: &Connection, filter: &AuditFilter) -> rusqlite::Result<Vec<AuditRecord>> {
    let limit = filter.limit.min(MAX_LISTED);
    let before = filter.before.map_or(i64::MAX, |seq| i64::try_from(seq).unwrap_or(i64::MAX));
    let mut values: Vec<&dyn ToSql> = vec![&before, &limit];
    let names: Vec<&str> = match &filter.tenants {
        Tenants::All => vec![],
        Tenants::These(tenants) => tenants.iter().map(TenantId::as_str).collect(),
    };
    let of_tenants = match &filter.tenants {
        Tenants::All => "1".to_owned(),
        Tenants::These(_) => {
            values.extend(names.iter().map(|name| name as &dyn ToSql));
            let marks: Vec<_> = (0..names.len()).map(|index| format!("?{}", index + 3)).collect();
            format!("tenant IN ({})", marks.join(", "))
        }
    };
    let sql = format!(
        "SELECT seq, entry FROM audit WHERE seq < ?1 AND {of_tenants} ORDER BY seq DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let records = statement.query_map(&*values, |found| {
        Ok(AuditRecord { number: found.get(0)?, entry: row::json(found, 1)? })
    })?;
    records.collect()
}
