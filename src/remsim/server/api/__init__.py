# SPDX-License-Identifier: Apache-2.0
"""REST. ``app`` is the way in; ``auth`` guards every route; ``v1`` has the resources of the C suite's interface."""
