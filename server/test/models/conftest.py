"""What all checks share."""

import environment
import pytest
from providers import CONFORMANCE, Providers


@pytest.fixture(scope="session")
def providers(tmp_path_factory):
    with Providers(environment.node(CONFORMANCE / "oracle"), tmp_path_factory.mktemp("providers")) as running:
        yield running


