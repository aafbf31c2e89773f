# SPDX-License-Identifier: Apache-2.0
"""What the system trusts is read for https only; elsewhere nobody is trusted."""

import ssl

import pytest

from remsim.pki.system_trust import system_trust


@pytest.mark.parametrize("url", ["https://server:9997", "HTTPS://server:9997"])
def test_https_goes_by_what_the_system_trusts(url: str) -> None:
    assert system_trust(url) is True


@pytest.mark.parametrize("url", ["http://server:9997", "http://[::1]:9997/https:"])
def test_without_tls_nobody_is_trusted(url: str) -> None:
    context = system_trust(url)
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] == 0
