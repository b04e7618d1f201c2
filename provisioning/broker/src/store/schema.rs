//! The tables.

/// `user_version` of the tables below.
pub(super) const VERSION: i64 = 2;

pub(super) const SCHEMA: &str = "
-- Public facts of the home: its identity, certificate, the ledger's origin.
CREATE TABLE facts(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
-- Wrapped private keys of the home itself.
CREATE TABLE secrets(name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT;
-- The last time that was given out: it never goes back.
CREATE TABLE clock(id INTEGER PRIMARY KEY CHECK (id = 0), last INTEGER NOT NULL) STRICT;

-- Wrapped keys that may be released. source: digest of a dataset's manifest.
CREATE TABLE deks(
  key_id TEXT NOT NULL, version INTEGER NOT NULL, wrapped BLOB NOT NULL, source BLOB, added_at INTEGER NOT NULL,
  PRIMARY KEY (key_id, version)) STRICT;
-- One row a lease that was given a key: renewals of it don't count again.
CREATE TABLE releases(
  charter BLOB NOT NULL, key_id TEXT NOT NULL, lease BLOB NOT NULL, version INTEGER NOT NULL,
  PRIMARY KEY (charter, key_id, lease)) STRICT;

-- The newest version of each charter that was served.
CREATE TABLE charters(charter_id TEXT PRIMARY KEY, version INTEGER NOT NULL, p BLOB NOT NULL) STRICT;

CREATE TABLE nonces(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, nonce BLOB NOT NULL UNIQUE, role TEXT NOT NULL, charter BLOB NOT NULL,
  order_digest BLOB, lease BLOB NOT NULL, issued_at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('issued', 'used'))) STRICT;

-- boot: digest of the boot document, and keys: digests of its keys; both claim the lease.
-- signing: the guest's Ed25519 key. referee: the key that signed its order. end_answer: set when closed.
CREATE TABLE leases(
  lease BLOB PRIMARY KEY, boot BLOB NOT NULL, keys TEXT NOT NULL, charter BLOB NOT NULL, role TEXT NOT NULL,
  order_digest BLOB UNIQUE, task TEXT, signing BLOB NOT NULL, referee BLOB, not_after INTEGER NOT NULL,
  end_answer TEXT) STRICT;
CREATE INDEX leases_of_task ON leases(charter, task);

-- GPUs and switches of a lease's guest, as last appraised in full: its renewals rest on that for an hour, and no other
-- guest may show them while the lease lives.
CREATE TABLE devices(
  lease BLOB NOT NULL REFERENCES leases(lease), ueid BLOB NOT NULL, device_key BLOB, is_switch INTEGER NOT NULL,
  appraised_at INTEGER NOT NULL, PRIMARY KEY (lease, ueid)) STRICT;

-- Orders that their referee gave up before any guest was leased for them: none will be.
CREATE TABLE ended_orders(order_digest BLOB PRIMARY KEY) STRICT;

CREATE TABLE deposits(key_id TEXT PRIMARY KEY, request BLOB NOT NULL, answer TEXT NOT NULL) STRICT;

-- What each charter's referee last showed of its log.
CREATE TABLE referee_logs(
  charter BLOB PRIMARY KEY, origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
  signing BLOB NOT NULL) STRICT;

-- The ledger. evidence: the appraised envelope, for auditors. token: the result's, for relying parties.
CREATE TABLE leaves(
  position INTEGER PRIMARY KEY, leaf BLOB NOT NULL, evidence BLOB NOT NULL, checkpoint TEXT NOT NULL,
  lease BLOB NOT NULL, token TEXT) STRICT;
CREATE INDEX leaves_of_lease ON leaves(lease);

-- The operator's roll.
CREATE TABLE roll(
  tournament TEXT NOT NULL, seq INTEGER NOT NULL, submission BLOB NOT NULL UNIQUE, normalised BLOB NOT NULL,
  champion INTEGER NOT NULL, entry TEXT NOT NULL,
  PRIMARY KEY (tournament, seq), UNIQUE (tournament, normalised)) STRICT;
";
