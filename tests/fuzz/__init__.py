# SPDX-License-Identifier: Apache-2.0
"""What nobody has thought of: nothing that our programs are sent may harm them.

``python -m tests.fuzz``         mutated conversations against running programs
``python -m tests.fuzz.guided``  every parser, guided by the coverage of our code
``python -m tests.fuzz.rest``    the whole REST interface, from its schema
"""
