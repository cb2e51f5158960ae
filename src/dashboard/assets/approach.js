// approach
