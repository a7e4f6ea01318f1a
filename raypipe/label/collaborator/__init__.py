"""A concept in words -> questions -> answers by models -> a small student: who is asked, what decides, who learns."""
