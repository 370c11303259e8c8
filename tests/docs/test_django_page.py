"""Each line of the page for Django, in a project that Django itself runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from baton_dsl.runtime.sql.autogenerate import TABLES
from baton_dsl.runtime.workflow import Workflow
from tests.cli.test_on_a_database import BATON, environment, wait_until_ready
from tests.docs.test_code_blocks import ROOT, blocks_of

OURS = {
    "manage.py": "import sys\nfrom django.core.management import execute_from_command_line\n"
    "execute_from_command_line(sys.argv)\n",
    "project/__init__.py": "",
    "project/settings.py": "import os\nSECRET_KEY = 'x'\nUSE_TZ = True\nALLOWED_HOSTS = ['*']\nDEFAULT_AUTO_FIELD = "
    "'django.db.models.BigAutoField'\nINSTALLED_APPS = ['shop']\nROOT_URLCONF = 'project.urls'\n"
    "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ['NAME'], "
    "'USER': os.environ['USER'], 'HOST': os.environ['HOST']}}\n",
    "project/urls.py": "from django.urls import path\nfrom shop.views import sign_up\n"
    "urlpatterns = [path('sign-up', sign_up)]\n",
    "shop/__init__.py": "",
    "shop/models.py": "from django.db import models\nclass Customer(models.Model):\n"
    "    name = models.CharField(max_length=10)\n    greeting = models.TextField(default='')\n",
    "shop/migrations/__init__.py": "",
}
"""What the page takes for granted."""


@dataclass(frozen=True)
class Project:
    folder: Path
    variables: dict[str, str]

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, program: str) -> str:
        """The output of a program, with Django set up."""
        return self.manage("shell", "--no-imports", "-c", program)

    @property
    def environment(self) -> dict[str, str]:
        return environment(**self.variables, DJANGO_SETTINGS_MODULE="project.settings", PYTHONPATH=str(self.folder))


@pytest.fixture
def project(empty_dsn: str, tmp_path: Path) -> Project:
    parts = conninfo_to_dict(empty_dsn)
    for file, text in OURS.items():
        write(tmp_path / file, text)
    variables = {"NAME": str(parts["dbname"]), "USER": str(parts["user"]), "HOST": str(parts["host"])}
    made = Project(tmp_path, variables)
    (tmp_path / "project/urls.py").write_text("urlpatterns = []\n")
    made.manage("makemigrations", "shop")
    for block in blocks_of(ROOT / "docs" / "how-to" / "django.md"):
        if block.language == "python":
            found = re.match(r"# (\S+\.py)\n", block.text)
            assert found is not None, "every block of the page is a file"
            write(tmp_path / found[1], block.text)
    (tmp_path / "project/urls.py").write_text(OURS["project/urls.py"])
    return made


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as conn:
        return {name for (name,) in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


SIGN_UP = """
from django.test import Client
print(Client().post("/sign-up", {"name": "Ada"}).content.decode())
"""
FAILING = """
from django.test import Client
from shop.flows import welcome
import shop.views
from shop.models import Customer
shop.views.JsonResponse = lambda _: 1 / 0
try:
    Client().post("/sign-up", {"name": "Grace"})
except ZeroDivisionError:
    print(Customer.objects.filter(name="Grace").count())
"""
INSERTED_OUTSIDE = """
from django.db import connection
from shop.flows import welcome
from shop.psycopg_connection import psycopg_connection
print(welcome.insert(connection, customer_id=1).sync.status().counts)
print(welcome.insert(psycopg_connection(), customer_id=1).sync.status().counts)
"""
IN_A_TEST = """
from django.db import connection
from django.test import TestCase, TransactionTestCase
from shop.flows import greet, welcome
from shop.models import Customer


class Rolled(TestCase):
    def test(self):
        customer = Customer.objects.create(name="Ada")
        assert welcome.insert(connection, customer_id=customer.id).id
        assert greet(customer.id) == "Welcome, Ada"


class Committed(TransactionTestCase):
    def test(self):
        assert welcome.insert(connection, customer_id=1).sync.status().counts == {"available": 1}
"""


def test_each_line_of_the_page_works_in_a_project(project: Project, empty_dsn: str) -> None:
    project.manage("migrate")
    assert tables(empty_dsn) >= TABLES
    assert "No changes detected" in project.manage("makemigrations", "--check")

    workflow = Workflow.load(json.loads(project.run(SIGN_UP))["workflow"], dsn=empty_dsn)
    assert workflow.sync.status().counts == {"available": 1}
    assert project.run(FAILING).split() == ["0"]
    with psycopg.connect(empty_dsn) as conn:
        assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (1,)
    command = [*BATON, "worker", "shop.worker", "--dsn", empty_dsn]
    with subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stderr=subprocess.PIPE, text=True
    ) as worker:
        try:
            wait_until_ready(worker)
            assert workflow.sync.wait(timeout=60).outcome == "completed"
        finally:
            worker.terminate()
            worker.communicate(timeout=60)
    with psycopg.connect(empty_dsn) as conn:
        assert conn.execute("SELECT name, greeting FROM shop_customer").fetchall() == [("Ada", "Welcome, Ada")]
    assert project.run(INSERTED_OUTSIDE).splitlines() == ["{'available': 1}"] * 2

    project.manage("migrate", "shop", "0002")
    assert tables(empty_dsn) >= TABLES
    project.manage("migrate", "shop", "0001")
    assert not tables(empty_dsn) & TABLES
    project.manage("migrate", "shop")
    assert tables(empty_dsn) >= TABLES


def test_inserts_can_be_tested_as_the_page_says(project: Project) -> None:
    write(project.folder / "shop" / "tests.py", IN_A_TEST)
    project.manage("test", "--noinput")
