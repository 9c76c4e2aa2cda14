from django.core.management.base import BaseCommand

from backend import migrating


class Command(BaseCommand):
    help = "Waits for the database, however long, and applies the migrations. Safe beside others that do the same."
    requires_system_checks = []

    def handle(self, *args, **options):
        migrating.until_done()
