# SPDX-License-Identifier: Apache-2.0
"""The reader of documentation pages (tests/doubles/console_pages.py) sees all that a page shows to be typed."""

import pytest

from tests.doubles.console_pages import (
    Command,
    FileText,
    PageError,
    Place,
    Typed,
    first_gap,
    is_part_of,
    spans,
    steps,
    words,
)

PAGE = """\
Text with `remsim ctl banks`, a name `remsim`, `make test`, `tools/test.sh` and `--auto`.

```toml server.toml
rspro = ":9998"
```

1. In a list:

   ```console
   $ remsim server --config server.toml &
   … started …
   …
   … bye
   $ remsim ctl \\
       banks
   BANK  STATE

   B1 …
   ```

```console
$ remsim client shell
card inserted …
C1:0> select 3f00
← 9000 …
C1:0> quit
```

```
$HOME is no command here
```
"""


def test_commands_and_files_are_found_in_their_order() -> None:
    assert steps(PAGE, "p.md") == [
        FileText(Place("p.md", 4), "toml", "server.toml", 'rspro = ":9998"\n'),
        Command(Place("p.md", 10), "remsim server --config server.toml", ("… started …",), ("… bye",), is_daemon=True),
        Command(Place("p.md", 14), "remsim ctl banks", ("BANK  STATE", "B1 …")),
        Command(
            Place("p.md", 22),
            "remsim client shell",
            ("card inserted …",),
            dialogue=(Typed("select 3f00", ("← 9000 …",)), Typed("quit", ())),
        ),
    ]


def test_calls_in_the_text_are_found() -> None:
    assert [span for _, span in spans(PAGE, "p.md")] == ["remsim ctl banks", "make test", "tools/test.sh"]


@pytest.mark.parametrize(
    "text",
    [
        "```console\nno command\n```",
        "```console\n$ one \\\n```",
        "```console\n$ one",
        "```bash\none\n```",
        "```\n$ one\n```",
    ],
)
def test_page_that_hides_a_command_is_refused(text: str) -> None:
    with pytest.raises(PageError, match=r"p\.md:\d"):
        steps(text, "p.md")


@pytest.mark.parametrize(
    ("shown", "gap"),
    [
        (["a b", "c"], None),
        (["a b c"], "a b c"),
        (["c", "a b"], "a b"),
        (["x … z"], None),
        (["x …"], None),
        (["… y …"], None),
        (["x z"], "x z"),
        (["a.b"], "a.b"),
    ],
)
def test_shown_lines_must_occur_in_order(shown: list[str], gap: str | None) -> None:
    assert first_gap(shown, ["a   b", "between", "  c", "x y z"]) == gap


def test_call_is_part_of_a_longer_one() -> None:
    assert words("a --b=c 'd e' &") == ["a", "--b", "c", "d e"]
    assert is_part_of("remsim bankd --auto", "remsim bankd --bank-id 1 --auto")
    assert is_part_of("remsim bankd --bank-id N", "remsim bankd --bank-id 1 --auto")
    assert not is_part_of("remsim bankd --csv", "remsim bankd --bank-id 1 --auto")
