"""Expressions that try to be large, long or deep; each must end with a typed error, and soon."""

from typing import Final

from perdure_engine.expressions import Scope

BOMB_SCOPE: Final = Scope(
    json={
        "list": list(range(1_000)),
        "text": "ab " * 3_000,
        "big": "x" * 1_000_000,
        "huge": 10**5_000,
        "deep": {"a": 1},
    }
)

BOMBS: Final = (
    "'x'.repeat(1e9)",
    "'x'.repeat(1e6).repeat(1e6)",
    "'x'.padStart(1e9)",
    "'x'.padEnd(1e9, 'abc')",
    "$json.list.map(x => $json.list.map(y => $json.list.map(z => x + y + z)))",
    "$json.list.reduce((a, x) => a + a, 'x')",
    "$json.list.reduce((a, x) => `${a}${a}`, 'x')",
    "$json.list.reduce((a, x) => [a, a], 1)",
    "$json.list.reduce((a, x) => [a], 1)",
    "$json.list.reduce((a, x) => ({a, b: a}), 1)",
    "JSON.stringify($json.list.reduce((a, x) => [a, a], 1))",
    "String($json.list.slice(0, 60).reduce((a, x) => [a, a], 1))",
    "$json.list.slice(0, 60).reduce((a, x) => [a, a], 1).flat(Infinity)",
    "Array.from({length: 1e9})",
    "$json.list.map(x => $json.big + 'y')",
    "$json.list.map(x => $json.big.toUpperCase())",
    "$json.list.map(x => $json.big.includes('y'))",
    "$json.list.map(x => $json.big === $json.big + '')",
    "$json.list.join($json.big)",
    "$json.list.flatMap(x => $json.list)",
    "$json.list.map(x => ({...$json.list}))",
    "$json.list.map(x => $json.list.sort())",
    "$json.text.replaceAll('', $json.text)",
    "$json.text.replaceAll('a', `$'$\\``)",
    "'ab'.replace('a', '$&'.repeat(100000))",
    "$json.list.map(x => ('a'.repeat(20000)).indexOf('a'.repeat(99) + 'b'))",
    "$json.list.map(x => JSON.parse('[' + '1,'.repeat(20000) + '1]'))",
    "JSON.parse('['.repeat(100000))",
    "$json.list.map(x => JSON.stringify($json.list))",
    "encodeURIComponent('ä'.repeat(1000000))",
    "$json.text.repeat(10).replace(/./g, x => x + x)",
    "$json.big.split('')",
    "[...$json.big]",
    "[...$json.big.split('x')]",
    "$json.list.map(x => new Set($json.list))",
    "$json.list.map(x => Math.max(...$json.list))",
)
