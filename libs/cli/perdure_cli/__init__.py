"""The command line: `perdure`. Everything a person does with the platform, by hand.

main.py       the commands there are, and how errors are told
platform.py   servers and services of this machine: start, find, stop
client.py     how a command asks and how it looks: events out, HTTP in
follow.py     an execution, live in the terminal
"""
