from rest_framework import viewsets

from notes.models import Note
from notes.serializers import NoteSerializer


class NoteViewSet(viewsets.ModelViewSet):
    """List, create, retrieve, update and delete."""

    queryset = Note.objects.all()
    serializer_class = NoteSerializer
