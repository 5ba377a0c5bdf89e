"""The tables of the ledger file: blocks, what follows from them, what waits, the state's rows.

Decides names and types only; `store` writes and reads them.
"""

TABLES = """
CREATE TABLE IF NOT EXISTS blocks (
    height INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, block BLOB NOT NULL,
    final BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS batches (batch_id BLOB PRIMARY KEY, batch BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS proposed (
    digest BLOB PRIMARY KEY, height INTEGER NOT NULL, block BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS justifications (
    height INTEGER NOT NULL, round INTEGER NOT NULL, proposal BLOB NOT NULL,
    PRIMARY KEY (height, round));
CREATE TABLE IF NOT EXISTS waiting (id BLOB PRIMARY KEY, encoded BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS evidence (
    validator TEXT NOT NULL, height INTEGER NOT NULL, kind TEXT NOT NULL, encoded BLOB NOT NULL,
    PRIMARY KEY (validator, height, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (
    batch_id BLOB PRIMARY KEY, height INTEGER NOT NULL, position INTEGER NOT NULL,
    tx_result BLOB NOT NULL, reading_results BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_height ON results (height, position);
CREATE TABLE IF NOT EXISTS readings (
    meter TEXT NOT NULL, sequence INTEGER NOT NULL, start_s INTEGER NOT NULL,
    zone TEXT NOT NULL, batch_id BLOB NOT NULL, position INTEGER NOT NULL,
    status INTEGER NOT NULL, import_wh INTEGER NOT NULL, export_wh INTEGER NOT NULL,
    import_advance_wh INTEGER NOT NULL, export_advance_wh INTEGER NOT NULL,
    PRIMARY KEY (meter, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seals (
    zone TEXT NOT NULL, start_s INTEGER NOT NULL, revision INTEGER NOT NULL,
    end_s INTEGER NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL,
    seal BLOB NOT NULL, inputs BLOB NOT NULL, PRIMARY KEY (zone, start_s, revision));
CREATE INDEX IF NOT EXISTS seals_by_height ON seals (height, position);
CREATE TABLE IF NOT EXISTS state (
    name TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (name, key))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    late INTEGER NOT NULL, claim BLOB NOT NULL, reading BLOB NOT NULL,
    PRIMARY KEY (late, claim, reading)) WITHOUT ROWID;
"""
