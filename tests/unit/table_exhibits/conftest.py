"""Studies of the table exhibits."""

from __future__ import annotations

import pytest
from p4equity.study import Study, load_study


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


@pytest.fixture(scope="module")
def published_study() -> Study:
    return load_study("castle_doctrine")
