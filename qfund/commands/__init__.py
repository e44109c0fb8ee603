"""What the operator types: one module per noun; a command parses, wires, calls, and hands the result to the console.

How to write one: see `qfund.commands.session`.
"""
