"""The tables of the ledger file: blocks, what follows from them, what waits, the state's rows.

Decides names, types and order only; `store`, `readings` and `shelf` write and read them. What comes
with every interval is in order of time: a block's rows then lie beside each other at the end of
their table. In order of meters each of them would change a page of its own.
"""

FORMAT = 2
"""The file's `user_version`: raised with every change of these tables."""

TABLES = f"""
PRAGMA user_version = {FORMAT};
CREATE TABLE IF NOT EXISTS blocks (
    height INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, readings INTEGER NOT NULL,
    block BLOB NOT NULL, final BLOB NOT NULL);
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
    number INTEGER PRIMARY KEY, batch_id BLOB NOT NULL UNIQUE, height INTEGER NOT NULL,
    position INTEGER NOT NULL, tx_result BLOB NOT NULL, reading_results BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_height ON results (height, position);
CREATE TABLE IF NOT EXISTS seals (
    zone TEXT NOT NULL, start_s INTEGER NOT NULL, revision INTEGER NOT NULL,
    end_s INTEGER NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL,
    seal BLOB NOT NULL, inputs BLOB NOT NULL, PRIMARY KEY (zone, start_s, revision));
CREATE INDEX IF NOT EXISTS seals_by_height ON seals (height, position);
CREATE INDEX IF NOT EXISTS seals_by_length ON seals (zone, end_s - start_s);
CREATE TABLE IF NOT EXISTS state (
    name TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (name, key))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS readings (
    start_s INTEGER NOT NULL, lane INTEGER NOT NULL, sequence INTEGER NOT NULL,
    late INTEGER NOT NULL, zone INTEGER NOT NULL, batch INTEGER NOT NULL,
    position INTEGER NOT NULL, status INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (start_s, lane, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    lane INTEGER NOT NULL, sequence INTEGER NOT NULL, start_s INTEGER NOT NULL,
    step_s INTEGER NOT NULL, late INTEGER NOT NULL, PRIMARY KEY (lane, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS credits (
    start_s INTEGER NOT NULL, meter INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (start_s, meter)) WITHOUT ROWID;
"""
