"""SQL stands in .sql files beside the modules that use it, named and described."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATEMENT = re.compile(
    r"\s*(SELECT\b.*\bFROM\b|INSERT INTO\b|UPDATE \S+ SET\b|DELETE FROM\b|LOCK TABLE\b)",
    re.DOTALL | re.IGNORECASE,
)
MADE = {
    "libs/common/perdure_common/adapters/postgres.py": "made of what a batch writes",
    "libs/common/perdure_common/adapters/postgres_projection.py": "made of the rows' columns",
    "libs/common/perdure_common/api/reading.py": "made of the columns that are asked for",
    "libs/common/perdure_common/api/table.py": "made of the columns that are asked for",
    "libs/common/perdure_common/migrate.py": "what must work before there is anything",
    "libs/common/perdure_common/doctor.py": "a look at a server that may be anybody's",
    "libs/common/perdure_common/embedded/postgres.py": "an argument of psql",
    "services/engine/perdure_engine/nodes/external_action_sql.py": "an example for users",
}
"""Where statements are text in Python, and why."""


def _texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module but for its docstrings; what is put in stands as `{}`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in told:
            yield str(node.value)


def test_no_statement_is_text_in_python_but_where_it_is_made() -> None:
    found: set[str] = set()
    for part in ("libs", "services"):
        for path in (ROOT / part).rglob("*.py"):
            if any(STATEMENT.match(text) for text in _texts(path)):
                found.add(str(path.relative_to(ROOT)))
    assert found == set(MADE), "put it into a .sql file beside the module"
