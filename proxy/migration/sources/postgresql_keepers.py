"""What keeps values in PostgreSQL: all that its catalogue says depends on a table, and its logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ...core.errors import MigrationFailed
from ..policy import POSTGRESQL_ROW, WAL_INDEX_ENTRY, WAL_RECORD
from .keepers import LOCAL, Change, Cost, Keeper, Run, ScrubStep, free_bytes

_TREE: Final = """
WITH RECURSIVE tree(oid) AS (
    SELECT to_regclass(%s)::oid UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = oid
)"""
# What depends on a column or the table, and on that in turn. A rule stands for its view, and what
# computes a column stands for the column.
_DEPENDENTS: Final = f"""{_TREE}, dependents(classid, objid, objsubid) AS (
    SELECT d.classid, d.objid, d.objsubid FROM pg_depend d JOIN tree ON d.refobjid = tree.oid
    WHERE d.refclassid = 'pg_class'::regclass AND (d.refobjsubid = 0 OR EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            AND a.attname = ANY (%s)))
    UNION
    SELECT n.* FROM dependents o, LATERAL (
        SELECT d.classid, d.objid, d.objsubid FROM pg_depend d WHERE d.refclassid = o.classid
            AND d.refobjid = o.objid AND (o.objsubid = 0 OR d.refobjsubid = o.objsubid)
        UNION ALL
        SELECT 'pg_class'::regclass::oid, r.ev_class, 0 FROM pg_rewrite r
        WHERE o.classid = 'pg_rewrite'::regclass AND r.oid = o.objid
            AND r.ev_class NOT IN (SELECT oid FROM tree)
        UNION ALL
        SELECT 'pg_class'::regclass::oid, e.adrelid, e.adnum FROM pg_attrdef e
        WHERE o.classid = 'pg_attrdef'::regclass AND e.oid = o.objid
    ) n WHERE NOT (n.classid = 'pg_class'::regclass AND n.objsubid = 0
        AND n.objid IN (SELECT oid FROM tree))
)
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), d.classid::regclass::text,
    d.objsubid, coalesce(c.relkind::text, ''), c.oid::regclass::text,
    NOT t.tgisinternal AND t.tgtype & 16 <> 0 AND t.tgenabled <> 'D' AND t.tgparentid = 0
        AND (t.tgattr = ''::int2vector OR EXISTS (SELECT FROM pg_attribute a
            WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr) AND a.attname = ANY (%s))),
    r.ev_type <> '1' AND r.ev_class IN (SELECT oid FROM tree),
    f.contype = 'f' AND f.confrelid IN (SELECT oid FROM tree),
    f.contype = 'c' OR d.classid IN ('pg_policy'::regclass, 'pg_proc'::regclass)
FROM dependents d
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_constraint f ON d.classid = 'pg_constraint'::regclass AND f.oid = d.objid
WHERE c.relnamespace IS DISTINCT FROM 'pg_toast'::regnamespace
ORDER BY 1
"""  # noqa: S608 - of constants
_IDENTITY: Final = f"""{_TREE}
SELECT c.oid::regclass::text, (SELECT string_agg(DISTINCT p.pubname, ', ')
    FROM pg_publication_tables p WHERE to_regclass(
        quote_ident(p.schemaname) || '.' || quote_ident(p.tablename)) = c.oid)
FROM tree JOIN pg_class c USING (oid)
WHERE current_setting('wal_level') = 'logical' AND (c.relreplident = 'f' OR EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
        AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = c.oid AND a.attname = ANY (%s)
        AND (i.indisreplident OR (c.relreplident = 'd' AND i.indisprimary))))
"""  # noqa: S608 - of constants
_PUBLICATIONS: Final = f"""{_TREE}
SELECT DISTINCT p.pubname FROM tree JOIN pg_publication_tables p
    ON to_regclass(quote_ident(p.schemaname) || '.' || quote_ident(p.tablename)) = oid
ORDER BY 1
"""  # noqa: S608 - of constants
_STATISTICS: Final = f"""{_TREE}
SELECT 1 FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
WHERE s.attname = ANY (%s) LIMIT 1
"""  # noqa: S608 - of constants
_SIZES: Final = f"""{_TREE}
SELECT sum(pg_table_size(oid)), sum(pg_indexes_size(oid)), sum(greatest(reltuples, 0)),
    count(i.indexrelid), current_setting('full_page_writes') = 'on'
FROM tree JOIN pg_class c USING (oid) LEFT JOIN pg_index i ON i.indrelid = c.oid
"""  # noqa: S608 - of constants
_TABLES: Final = f"{_TREE} SELECT oid::regclass::text FROM tree"  # noqa: S608 - of constants
_WAL_FILES: Final = "SELECT count(*) FROM pg_ls_waldir()"
_NEXT_WAL: Final = (
    "SELECT pg_logical_emit_message(false, 'sealyard', '') IS NOT NULL, pg_switch_wal() IS NOT NULL"
)
_EMPTY_WAL: Final = "ALTER SYSTEM SET wal_recycle = off"


class _Dependent(NamedTuple):
    """Something that depends on a column, as the catalogue describes it.

    `kind` is its catalogue, `column` the number of a computed column, `relation` the kind of the
    relation that it is, `of` the name of that. `fires` and `rules`: at each update; `refers`: by a
    foreign key; `judges`: it is a check, a policy or a function.
    """

    name: str
    kind: str
    column: int
    relation: str
    of: str
    fires: bool
    rules: bool
    refers: bool
    judges: bool


class PostgresqlInspection:
    """Asks the catalogue of a database about columns of one table, and of its partitions."""

    snapshot = "PostgreSQL removes no old version of a row in any table"

    def __init__(self, run: Run, table: str, columns: Sequence[str], host: str) -> None:
        """Use a connection in autocommit; `table` is quoted."""
        self._run = run
        self._table = table
        self._columns = list(columns)
        self._host = host
        self.told: set[str | None] = set()  # how severe what the server has said is

    def keepers(self) -> Iterator[Keeper]:
        """Yield what depends on the columns, then the logs."""
        for one in self._dependents():
            yield from _kept(one)
        for table, publications in self._run(_IDENTITY, (self._table, self._columns)):
            by = f", the publications {publications} and their subscribers" if publications else ""
            yield Keeper(
                f"replica identity of {table}",
                "receives",
                f"each update writes the old row for logical slots{by}",
                f"for the run: ALTER TABLE {table} REPLICA IDENTITY DEFAULT",
            )
        for (name,) in self._run(_PUBLICATIONS, (self._table,)):
            told = "its subscribers get tokens"
            yield Keeper(f"publication {name}", "shows", told, "seal their copies too")
        if self._setting("archive_mode") != "off" and self._setting("full_page_writes") == "on":
            yield Keeper(
                "WAL archive",
                "receives",
                "the first change of a page after a checkpoint writes its old rows to the archive",
                "let the archive expire as backups do",
            )
        yield Keeper(
            f"old versions of {self._table}",
            "keeps",
            "updated rows stay in heap, TOAST and indexes; plain VACUUM does not overwrite them",
            "migrate scrub (VACUUM FULL)",
        )
        yield Keeper("WAL", "keeps", "old rows, also in files kept for reuse", "migrate scrub")
        for slot, kind in self._run(
            "SELECT slot_name, slot_type FROM pg_replication_slots ORDER BY 1"
        ):
            told = f"a {kind} slot, which keeps the WAL that its reader has not read"
            yield Keeper(f"slot {slot}", "keeps", told, "let its reader catch up, or drop it")
        if self._run(_STATISTICS, (self._table, self._columns)):
            yield Keeper(
                "statistics of the planner",
                "keeps",
                "pg_statistic has frequent values and borders of histograms",
                "migrate scrub (ANALYZE, then VACUUM FULL pg_statistic)",
            )

    def cost(self, change: Change) -> Cost:
        """Return what new versions of rows take: none is written in place."""
        ((heap, indexes, rows, count, images),) = self._run(_SIZES, (self._table,))
        heap, indexes, rows = int(heap), int(indexes), max(int(rows), change.rows, 1)
        share = change.rows / rows
        new = (heap / rows if heap else POSTGRESQL_ROW) * change.rows + change.after - change.before
        new = max(new, change.rows * POSTGRESQL_ROW + change.after)
        log = new + change.rows * (WAL_RECORD + count * WAL_INDEX_ENTRY)
        if images:
            log += (heap + indexes) * share
        folder = self._setting("data_directory") if self._host in LOCAL else None
        return Cost(round(new + indexes * share), round(log), "WAL", free_bytes(folder))

    def steps(self) -> Iterator[ScrubStep]:
        """Yield what rewrites each file that keeps old values."""
        tables = self._run(_TABLES, (self._table,))
        for (table,) in tables:
            yield ScrubStep(
                f"VACUUM (FULL, ANALYZE) {table}", "old versions of rows, and index entries"
            )
        for relation in (one.of for one in self._dependents() if one.relation == "m"):
            yield ScrubStep(f"REFRESH MATERIALIZED VIEW {relation}", "values in the view")
        for catalogue in ("pg_statistic", "pg_statistic_ext_data"):
            yield ScrubStep(f"VACUUM FULL pg_catalog.{catalogue}", "values in statistics")
        yield ScrubStep(_EMPTY_WAL, "old rows in the WAL")

    def clean(self, step: ScrubStep) -> None:
        """Do a step. For the WAL: pass all files that wait for reuse, and let none be kept."""
        if step.sql != _EMPTY_WAL:
            self._run("SET lock_timeout = '60s'")
            self.told.clear()
            self._run(step.sql)
            if "WARNING" in self.told:  # that is all where it skips what is another's
                raise MigrationFailed("skipped-with-a-warning")
            return
        self._run(_EMPTY_WAL)
        try:
            self._run("SELECT pg_reload_conf()")
            ((files,),) = self._run(_WAL_FILES)
            for _ in range(files + 1):
                self._run(_NEXT_WAL)
            for _ in range(2):
                self._run("CHECKPOINT")
        finally:
            self._run("ALTER SYSTEM RESET wal_recycle")
            self._run("SELECT pg_reload_conf()")

    def files(self) -> Sequence[Path]:
        """Return none: only some users see where they are."""
        return ()

    def _dependents(self) -> Iterator[_Dependent]:
        found = self._run(_DEPENDENTS, (self._table, self._columns, self._columns))
        return (_Dependent(*one) for one in found)

    def _setting(self, name: str) -> str | None:
        """Return a setting; None for one that this user may not see."""
        try:
            ((found,),) = self._run("SELECT current_setting(%s)", (name,))
        except MigrationFailed:
            return None
        return str(found)


def _kept(one: _Dependent) -> Iterator[Keeper]:
    """Yield what one dependent keeps or receives; nothing where it stores no value."""
    name = one.name
    if one.fires or one.rules:
        told = "runs at each update, and is given the old row"
        yield Keeper(name, "receives", told, "disable it for the run, or clean what it writes")
    elif one.column:
        told = "computed anew from tokens: search by it finds nothing more"
        yield Keeper(name, "keeps", told, "drop it, or let it be of another column")
    elif one.relation in {"i", "I"}:
        told = (
            "old entries stay until it is rebuilt; tokens are found by no search, and above 2,700"
            " bytes do not fit into a B-tree"
        )
        yield Keeper(name, "keeps", told, f"migrate scrub (REINDEX INDEX {one.of}), or drop it")
    elif one.relation == "m":
        told = "has its own copy of values"
        yield Keeper(name, "keeps", told, f"migrate scrub (REFRESH MATERIALIZED VIEW {one.of})")
    elif one.relation == "v":
        yield Keeper(name, "shows", "stores nothing; has tokens now", "compare who reads it")
    elif one.relation not in {"", "S", "c"}:
        yield Keeper(name, "keeps", "depends on a column of the job", "see what it stores")
    elif one.refers:
        yield Keeper(name, "keeps", "another table has the same values", "drop it, and seal both")
    elif one.kind == "pg_statistic_ext":
        yield Keeper(name, "keeps", "has frequent values", "migrate scrub (ANALYZE)")
    elif one.judges:
        yield Keeper(name, "shows", "is given tokens now", "see whether it decides by the text")
