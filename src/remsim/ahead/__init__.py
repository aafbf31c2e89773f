# SPDX-License-Identifier: Apache-2.0
"""Answering ahead: while an answer travels to a distant modem, the bankd runs the commands that the modem will probably
send next, if they leave no trace on the card but what is selected, and sends their answers along. The client keeps them
and answers the modem at once if it does send these commands; if it sends another one, the rest is dropped and the bankd
first selects again what the modem believes to be selected. Every answer was given by the real card in this session,
and a command that changes anything is never run before the modem sent it.

Begin with ``rules`` (which commands may be guessed, and why), then ``return_path`` (how a selection is restored), then
``bank_side`` and ``client_side``, the two ends. What the modem will send is told by ``predictor``. No part does I/O:
time is an argument.
"""
