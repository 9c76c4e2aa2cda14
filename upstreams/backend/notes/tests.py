import os
from unittest import mock

from django.db import OperationalError
from django.test import TestCase
from rest_framework.test import APIClient

from backend import faults
from notes.models import Note


class NotesTest(TestCase):
    client_class = APIClient

    def create(self, **fields):
        return self.client.post("/api/notes/", fields, format="json")

    def test_a_note_is_created_read_changed_and_deleted(self):
        created = self.create(title="milk", text="two bottles")
        self.assertEqual(created.status_code, 201)
        url = f"/api/notes/{created.data['id']}/"
        self.assertEqual(self.client.get(url).data["text"], "two bottles")
        self.assertEqual(self.client.patch(url, {"title": "bread"}, format="json").data["title"], "bread")
        self.assertEqual(self.client.put(url, {"title": "tea"}, format="json").data["title"], "tea")
        self.assertEqual(self.client.delete(url).status_code, 204)
        self.assertEqual(self.client.get(url).status_code, 404)

    def test_the_newest_note_comes_first_and_the_slash_is_optional(self):
        self.create(title="first")
        self.create(title="second ✓")
        listed = self.client.get("/api/notes")
        self.assertEqual([note["title"] for note in listed.data["results"]], ["second ✓", "first"])
        self.assertTrue(listed["X-Served-By"])

    def test_bad_notes_are_refused_field_by_field(self):
        for fields in ({}, {"title": ""}, {"title": " "}, {"title": "x" * 121}, {"title": "x", "text": "y" * 2001}):
            response = self.create(**fields)
            self.assertEqual(response.status_code, 400, fields)
            self.assertIn("text" if len(fields) == 2 else "title", response.data)
        self.assertEqual(self.client.post("/api/notes/", "{", content_type="application/json").status_code, 400)
        self.assertEqual(Note.objects.count(), 0)

    def test_a_database_that_is_away_is_503_and_when_to_come_again(self):
        with mock.patch("notes.views.NoteViewSet.list", side_effect=OperationalError(2003, "no")):
            response = self.client.get("/api/notes/")
        self.assertEqual((response.status_code, response["Retry-After"]), (503, "2"))


class HealthTest(TestCase):
    databases = ["default", "probe"]

    def setUp(self):
        # Closing the mirrored SQLite connection would throw the tables away.
        patch = mock.patch("django.db.backends.base.base.BaseDatabaseWrapper.close")
        patch.start()
        self.addCleanup(patch.stop)

    def test_both_addresses_say_ok_and_who_answers(self):
        for path in ("/health", "/api/health"):
            response = self.client.get(path)
            self.assertEqual((response.status_code, response.json()["status"]), (200, "ok"), path)
            self.assertEqual(response.json()["served_by"], response["X-Served-By"])

    def test_a_database_that_is_away_is_503(self):
        with mock.patch("backend.health.connections") as connections:
            connections["probe"].cursor.side_effect = OperationalError(2003, "Can't connect")
            response = self.client.get("/health")
        self.assertEqual(response.status_code, 503)
        self.assertIn("Can't connect", response.json()["database"])

    def test_sickness_on_request_ends(self):
        self.addCleanup(lambda: os.path.exists(faults.SICK_UNTIL) and os.remove(faults.SICK_UNTIL))
        self.assertEqual(self.client.get("/_fault/sick").status_code, 405)
        self.client.post("/_fault/sick?seconds=60")
        self.assertEqual(self.client.get("/health").status_code, 500)
        self.client.post("/api/_fault/sick?seconds=0")
        self.assertEqual(self.client.get("/health").status_code, 200)
