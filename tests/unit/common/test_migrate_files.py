"""Migration files: what is taken for one, and what is wrong with the others."""

from pathlib import Path

import pytest
from perdure_common import migrate
from perdure_common.migrate import MigrationError

GOOD = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "shell").mkdir()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shell" / "0001_base.sql").write_text(GOOD)
    return tmp_path


def test_files_are_read_in_order_with_the_shells_first(root: Path) -> None:
    for name in ("0010_late.sql", "0002_early.sql"):
        (root / "shop" / name).write_text(GOOD)
    (root / "shop" / "schema.sql").write_text("a picture, no migration")
    found = migrate.read("shop", root)
    assert [m.id for m in found] == ["shell/0001_base", "shop/0002_early", "shop/0010_late"]
    assert (found[0].up.strip(), found[0].down.strip()) == ("SELECT 1;", "SELECT 2;")


def test_the_shell_by_itself_has_only_its_own(root: Path) -> None:
    assert [m.id for m in migrate.read("shell", root)] == ["shell/0001_base"]
    assert migrate.services(root) == ["shop"]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("0002_x.sql", "SELECT 1;", "one line `-- migrate:up`"),
        ("0002_x.sql", "-- migrate:up\nSELECT 1;\n", "one line `-- migrate:down`"),
        ("0002_x.sql", GOOD + GOOD, "one line"),
        ("0002_x.sql", GOOD.replace("up", "up transaction:false"), "no options"),
        ("0002_x.sql", GOOD.replace("SELECT 1;", ""), "nothing to apply"),
        ("2_x.sql", GOOD, "NNNN_slug.sql"),
        ("0002-x.sql", GOOD, "NNNN_slug.sql"),
        ("0002_X.sql", GOOD, "NNNN_slug.sql"),
    ],
)
def test_a_file_that_is_no_migration_is_refused_with_its_name(
    root: Path, name: str, text: str, why: str
) -> None:
    (root / "shop" / name).write_text(text)
    with pytest.raises(MigrationError, match=why) as error:
        migrate.read("shop", root)
    assert error.value.code == "migration_malformed"
    assert name in str(error.value)


def test_a_folder_without_the_shells_migrations_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_MIGRATIONS", str(tmp_path))
    with pytest.raises(MigrationError, match="PERDURE_MIGRATIONS") as error:
        migrate.folder()
    assert error.value.code == "migrations_missing"
