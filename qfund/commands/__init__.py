"""What the operator types, one module a noun: a command parses, wires, calls, and hands the result over.

How to write one: see `qfund.commands.session`.
"""
