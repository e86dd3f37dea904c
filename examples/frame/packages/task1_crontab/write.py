import datetime

with open("written.txt", "a") as file:
    file.write(f"{datetime.datetime.now():%H:%M:%S}\n")
