"""The command line: `perdure`. Everything a person does with the platform, by hand.

main.py          the commands there are, and how errors are told
output.py        text for people, JSON for programs
errors.py        what a command says when it cannot do what was asked
platform.py      servers and services of this machine: start, find, stop
client.py        how a command asks and how it looks: events out, HTTP in
definitions.py   workflow files: YAML 1.2 and JSON
deploying.py     from files to versions, from versions to what serves
workflows.py     `perdure workflow`
running.py       `perdure run` and `perdure trigger`
pictures.py      an execution as it can be seen from outside
follow.py        an execution, live in the terminal
executions.py    `perdure executions`; waiting.py has what an open one waits for, in words
recovery.py      `perdure recovery`
dead_letters.py  `perdure dead-letters`
status.py        `perdure status`: what runs, what is stuck, and why
promises.py      the promises checked on live data; endings.py has what spans services (I2),
                 parked.py what is told of parked streams (I10)
checks.py        `perdure verify` and `perdure replay`
demo.py          `perdure demo`; demo_stage.py is how it looks
"""
