"""ACTION FILE: reads a file of an item into its data, or writes a text of its data into a file.

`read` puts what stands in the file into the field `as` (by default called like the file): a `text`,
`base64`, the value that its `json` is, or the rows of a `csv` or of the first table of an `html`
page, as a list of objects (SPLIT_OUT makes an item of each). The first row has the names; with
`header: false` those of a CSV are `column1` and so on. The file stays with the item. Files above
5 MB are not read, pages above 300,000 characters neither.

`write` makes a file of `content`: of a `text` in `encoding`, of the bytes of a `base64` text, of
any value as `json`, of a list of objects as `csv` or as the table of an `html` page (AGGREGATE
makes a list of items). It is called `file` in the item, beside the files that the item has; another
one of that name is replaced. The item's data stays as it is.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .each import needs

FILE = "data"
"""What a file is called where the author does not say."""

BYTES_MAX = 5 * 1024 * 1024
"""The largest file that is read into an item."""

ROWS_MAX = 50_000
FORMATS = ("text", "base64", "json", "csv", "html")
TIMEOUT_S = 30.0
MIME_TYPES = {
    "text": "text/plain",
    "base64": "application/octet-stream",
    "json": "application/json",
    "csv": "text/csv",
    "html": "text/html",
}
"""What a file is that is written, where the author does not say."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from needs(parameters, {"write": ("content",)})
    delimiter = parameters.get("delimiter")
    if isinstance(delimiter, str) and (len(delimiter) != 1 or delimiter in '"\r\n'):
        yield Fault("invalid_parameter", "delimiter", "`delimiter` must be one character")


def _limit(parameters: Parameters) -> float:
    del parameters
    return TIMEOUT_S


SPECIFICATION = NodeSpecification(
    node_type="ACTION",
    subtype="FILE",
    summary="Reads a file into the data of an item, or writes one.",
    place="runner",
    files="keep",
    parameters=(
        Parameter("operation", "text", "What.", optional=False, choices=("read", "write")),
        Parameter(
            "file", "text", f"The file's name in the item; by default `{FILE}`.", expressions=True
        ),
        Parameter("format", "text", "As what.", default="text", choices=FORMATS),
        Parameter("as", "text", "The field that takes what is read: a name, or a path with dots."),
        Parameter("content", "any", "What is written.", expressions=True),
        Parameter("file_name", "text", "What the written file is called.", expressions=True),
        Parameter("mime_type", "text", "Its content type; by default its format's."),
        Parameter("encoding", "text", "Of a text; by default UTF-8."),
        Parameter("delimiter", "text", "Between the fields of a CSV; by default a comma."),
        Parameter("header", "boolean", "Whether the first row of a CSV has names.", default=True),
    ),
    length=lambda parameters, timeout_s: "short",
    attempt_timeout_s=_limit,
    check=_check,
    example={"operation": "read", "file": "report", "format": "csv", "as": "rows"},
    errors=(
        *("file_not_found", "file_gone", "file_too_large", "files_unreachable", "file_not_text"),
        *("file_not_json", "file_not_csv", "file_not_html", "too_many_items", "invalid_input"),
        "data_too_deep",
    ),
)
