"""The agents' table: SQLite or PostgreSQL, by SQLAlchemy (its core, no objects mapped).

Columns are called like the keys of an agent in the configuration, with `agent_id` as the key. Only
`agent_id`, `password_hash` and `extension` must be there; `queues` and `supervises` hold names with commas
between them. A view of a site's own table will do for reading.
"""

import ssl
from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    NoSuchTableError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from connector.bridge.tcp import NO_PASS_PHRASE
from connector.settings_schema import TlsSettings
from connector.settings_yaml import ConfigError, Items, Kind, Mapping, Node, Scalar, SourceUnavailable

_WAIT: Final = 5
"""Seconds that the database may take to answer."""
_LISTS: Final = ("queues", "supervises")
_REQUIRED: Final = ("agent_id", "password_hash", "extension")
_AGENTS_AT_MOST: Final = 100_000


class AgentTable:
    """A table of agents, one a row."""

    def __init__(self, url: str, table: str, tls: TlsSettings | None = None) -> None:
        """`url` is SQLAlchemy's, `table` a name with or without a schema. Raises ConfigError."""
        self._schema, _, self._table = table.rpartition(".")
        self._columns = _columns()
        try:
            parsed = sql.make_url(url)
            if parsed.drivername == "postgresql":
                parsed = parsed.set(drivername="postgresql+pg8000")
            self._engine = sql.create_engine(
                parsed, poolclass=NullPool, hide_parameters=True, connect_args=_options(parsed, tls)
            )
        except OSError as problem:
            # It was there at the start; whoever renews it may be writing it at this moment.
            raise ConfigError(
                "configuration",
                "directory.tls",
                f"a file cannot be used: {problem.strerror or problem}",
            ) from None
        except (ArgumentError, NoSuchModuleError, ValueError, TypeError):
            # What is wrong with it is not told: it would quote the password.
            raise ConfigError(
                "configuration",
                "directory.url",
                "expected a URL such as postgresql://USER:PASSWORD@HOST/DATABASE",
            ) from None
        except ImportError as missing:
            raise ConfigError(
                "configuration",
                "directory.url",
                f"the driver {missing.name} is not installed; for PostgreSQL: "
                "pip install 'harmony-connector[postgresql]'",
            ) from None
        # A file is there or not; a server may only be late.
        self._unusable = ConfigError if parsed.drivername.startswith("sqlite") else SourceUnavailable
        self._where = f"{parsed.render_as_string(hide_password=True)} table {table}"

    @property
    def name(self) -> str:
        """The database and the table, without a password."""
        return self._where

    def read(self) -> Mapping:
        """Return the agents by id, in their order. Raises ConfigError."""
        with self._connection() as connection:
            table = self._known(connection)
            columns = [table.c[key] for key in self._columns if key in table.c]
            query = sql.select(*columns).order_by(table.c.agent_id).limit(_AGENTS_AT_MOST)
            rows = [dict(row) for row in connection.execute(query).mappings()]
        nodes: dict[str, Node] = {}
        for row in rows:
            agent_id = str(row.pop("agent_id"))
            origin = f"{self._where}, row {agent_id!r}"
            nodes[agent_id] = Mapping(
                {key: _node(key, value, origin) for key, value in row.items() if value is not None}, origin
            )
        return Mapping(nodes, self._where)

    def add(self, agent_id: str, fields: AbstractMapping[str, str | int | list[str]]) -> None:
        """Insert an agent; without a table one is made. Raises ConfigError."""
        plain = {key: ",".join(value) if isinstance(value, list) else value for key, value in fields.items()}
        with self._connection() as connection:
            if not sql.inspect(connection).has_table(self._table, schema=self._schema or None):
                self._new_table().create(connection)
            table = self._known(connection)
            missing = [key for key in plain if key not in table.c]
            if missing:
                raise ConfigError(self._where, "", f"there is no column `{missing[0]}`")
            try:
                connection.execute(sql.insert(table).values(agent_id=agent_id, **plain))
            except IntegrityError:
                raise ConfigError(self._where, agent_id, "the agent is there already") from None

    def set_password_hash(self, agent_id: str, password_hash: str) -> None:
        """Update an agent's hash. Raises ConfigError."""
        with self._connection() as connection:
            table = self._known(connection)
            changed = connection.execute(
                sql.update(table).where(table.c.agent_id == agent_id).values(password_hash=password_hash)
            )
        if changed.rowcount != 1:
            raise ConfigError(self._where, agent_id, "there is no such agent")

    @contextmanager
    def _connection(self) -> Iterator[sql.Connection]:
        """Yield a connection with a transaction, committed at the end.

        Raises:
            SourceUnavailable: the server is not there, or does not let us in; a ConfigError for a file.

        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise self._unusable(self._where, "", f"the database refused: {_told(problem)}") from None
        except OSError as problem:
            raise self._unusable(
                self._where, "", f"the database cannot be reached: {problem.strerror or problem}"
            ) from None

    def _known(self, connection: sql.Connection) -> sql.Table:
        """Return the table as the database has it."""
        try:
            table = sql.Table(
                self._table, sql.MetaData(), schema=self._schema or None, autoload_with=connection
            )
        except NoSuchTableError:
            raise ConfigError(
                self._where, "", "there is no such table; `connector agents add` makes it"
            ) from None
        for key in _REQUIRED:
            if key not in table.c:
                raise ConfigError(self._where, "", f"expected a column `{key}`, found none")
        return table

    def _new_table(self) -> sql.Table:
        columns = (sql.Column(key, kind, **options) for key, (kind, options) in self._columns.items())
        return sql.Table(self._table, sql.MetaData(), *columns, schema=self._schema or None)


def _columns() -> dict[str, tuple[Any, dict[str, Any]]]:
    text, optional = sql.Text(), {"nullable": True}
    return {
        "agent_id": (sql.String(64), {"primary_key": True}),
        "password_hash": (text, {"nullable": False}),
        "login": (sql.String(64), {**optional, "unique": True}),
        "extension": (sql.String(64), {"nullable": False}),
        "first_name": (text, optional),
        "last_name": (text, optional),
        "queues": (text, optional),
        "phone": (text, optional),
        "team": (text, optional),
        "penalty": (sql.Integer(), optional),
        "supervises": (text, optional),
    }


def _options(url: sql.URL, tls: TlsSettings | None) -> dict[str, Any]:
    if url.drivername.startswith("sqlite"):
        return {"timeout": _WAIT}
    if url.drivername != "postgresql+pg8000":
        return {}
    options: dict[str, Any] = {"timeout": _WAIT}
    if tls is not None and tls.enabled:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None, password=NO_PASS_PHRASE)
        options["ssl_context"] = context
    return options


def _node(key: str, value: object, origin: str) -> Node:
    if key in _LISTS:
        names = value if isinstance(value, list | tuple) else str(value).split(",")
        return Items(
            tuple(Scalar(one, Kind.TEXT, origin) for each in names if (one := str(each).strip())), origin
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return Scalar(str(value), Kind.INTEGER, origin)
    return Scalar(str(value), Kind.TEXT, origin)


def _told(problem: SQLAlchemyError) -> str:
    """Return the database's own words in one line; the statement's parameters are never among them."""
    cause = getattr(problem, "orig", None)
    if cause is None:
        return type(problem).__name__
    first = cause.args[0] if cause.args else cause
    return " ".join(str(first.get("M", "") if isinstance(first, dict) else first).split())[:200]
