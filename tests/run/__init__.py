"""Tests of the stage runner; their helpers' assertions are explained as the tests' own are."""

import pytest

pytest.register_assert_rewrite("tests.run.stages")
