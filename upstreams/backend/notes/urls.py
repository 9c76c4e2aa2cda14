from rest_framework.routers import SimpleRouter

from notes.views import NoteViewSet

# With or without the last slash: a redirect would cost a POST its body.
router = SimpleRouter()
router.trailing_slash = "/?"
router.register("notes", NoteViewSet)
urlpatterns = router.urls
