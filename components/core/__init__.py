"""What everything uses: errors, files, stage reports and progress, worker pools."""
