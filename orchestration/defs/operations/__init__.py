"""What keeps it running: refresh jobs, schedules, alerts and housekeeping."""
