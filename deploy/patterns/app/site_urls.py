"""The page, beside everything that the backend has."""

from backend.urls import urlpatterns as backend
from django.http import HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path
from django.utils.html import format_html, format_html_join
from notes.models import Note
from notes.serializers import NoteSerializer

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Notes</title>
<h1>Notes</h1>
<form method="post"><input name="title" required maxlength="120"> <button>Add</button></form>
<ul>{}</ul>
</html>
"""


def page(request):
    """The newest notes and a form for one more."""
    if request.method == "POST":
        note = NoteSerializer(data=request.POST)
        if not note.is_valid():
            return HttpResponse("A note needs a title of at most 120 characters.\n", status=400, content_type="text/plain")
        note.save()
        return HttpResponseRedirect("/", status=303)
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    titles = Note.objects.values_list("title")[:50]
    return HttpResponse(format_html(PAGE, format_html_join("\n", "<li>{}</li>", titles)))


urlpatterns = [path("", page), *backend]
