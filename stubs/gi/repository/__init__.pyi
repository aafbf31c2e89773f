# SPDX-License-Identifier: Apache-2.0

from gi.repository import GLib as GLib
from gi.repository import UMockdev as UMockdev
